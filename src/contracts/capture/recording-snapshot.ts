import type { JsonText } from '../../core/event.ts'
import { sessionIdLengthMax } from '../../core/limits.ts'
import type { Fault } from './batch.ts'
import { isJsonObject, type RawEvent, toRawEvent } from './raw-event.ts'

/** What one event of a recording request carries. */
export type Snapshot = RawEvent & {
  sessionId: string
  /** Each as it was sent: lone surrogates, NUL and large numbers included. */
  items: JsonText[]
}

/** Also missing_session_id, invalid_session_id, missing_snapshot_data and invalid_snapshot_data. */
export function toSnapshot(raw: unknown): Snapshot | Fault {
  const parsed = toRawEvent(raw)
  if ('code' in parsed) return parsed
  const { root, properties, distinctId } = parsed
  const { $session_id: sessionId, $snapshot_data: data } = properties
  if (isAbsent(sessionId) || sessionId === '') return noSession
  if (typeof sessionId !== 'string' || !sessionPattern.test(sessionId)) return sessionOff
  if (isAbsent(data)) return noData
  if (Array.isArray(data))
    return { root, properties, distinctId, sessionId, items: data.map(toJson) }
  if (!isJsonObject(data)) return dataOff
  return { root, properties, distinctId, sessionId, items: [toJson(data)] }
}

const sessionPattern = new RegExp(`^[A-Za-z0-9-]{1,${sessionIdLengthMax}}$`)

const noSession: Fault = { code: 'missing_session_id', message: 'a recording needs $session_id' }
const sessionOff: Fault = {
  code: 'invalid_session_id',
  message: `$session_id is at most ${sessionIdLengthMax} letters, digits and hyphens`,
}
const noData: Fault = { code: 'missing_snapshot_data', message: 'a recording needs $snapshot_data' }
const dataOff: Fault = {
  code: 'invalid_snapshot_data',
  message: '$snapshot_data must be an array or an object',
}

const isAbsent = (value: unknown) => value === undefined || value === null
const toJson = (value: unknown): JsonText => JSON.stringify(value) ?? 'null'
