import type { EventRow, RecordingRow } from '../../core/event.ts'
import { shortTextLengthMax } from '../../core/limits.ts'
import { isStorableUuid, toClientUuid } from '../shared/event-id.ts'
import { fromPhp, isJsonObject } from '../shared/json.ts'
import { isLongerThan } from '../shared/text.ts'
import { toSentAtWarning, toTimeWarning } from '../shared/time.ts'
import { addWarning, toWarning, type Warnings, warningsProperty } from '../shared/warnings.ts'
import type { CaptureBatch } from './batch.ts'
import { type RawEvent, toClientTime } from './raw-event.ts'

/**
 * How the row differs from the event as sent. Fields beside `properties` that the contract does not
 * name are no differences: all SDKs send some.
 */
export function toEventWarnings(raw: RawEvent, row: EventRow, batch: CaptureBatch): Warnings {
  const { root, properties } = raw
  let warnings = toSharedWarnings(raw, row, batch)
  if (root.uuid !== row.uuid) warnings = addUuid(warnings, root.uuid)
  warnings = addIfCut(warnings, '$session_id', properties.$session_id)
  if (root.$set !== undefined) warnings = addIfNoObject(warnings, '$set', root.$set)
  if (root.$set_once !== undefined) warnings = addIfNoObject(warnings, '$set_once', root.$set_once)
  const own = properties[warningsProperty]
  if (own === undefined) return warnings
  return addWarning(warnings, toWarning('property_replaced', warningsProperty, own))
}

/** The same for a row of snapshots, whose columns come from the first one. */
export function toRecordingWarnings(
  raw: RawEvent,
  row: Omit<RecordingRow, 'snapshot_items'>,
  { batch, isMerged }: { batch: CaptureBatch; isMerged: boolean },
): Warnings {
  const { root, properties } = raw
  let warnings = toSharedWarnings(raw, row, batch)
  // Merged snapshots have a uuid of their own, as the contract says.
  if (!isMerged) warnings = addUuid(warnings, root.uuid)
  warnings = addIfCut(warnings, '$window_id', properties.$window_id)
  return addIfCut(warnings, '$snapshot_source', properties.$snapshot_source)
}

type SharedColumns = Pick<EventRow, 'timestamp' | 'distinct_id'>

function toSharedWarnings(raw: RawEvent, row: SharedColumns, batch: CaptureBatch): Warnings {
  const { root, properties, distinctId } = raw
  let warnings: Warnings = batch.sentAtWarning && [batch.sentAtWarning]
  if (row.timestamp === batch.receivedMs) {
    const warning = toTimeWarning(toClientTime(raw, batch), batch.receivedMs)
    if (warning) warnings = addWarning(warnings, warning)
  }
  if (root.offset !== undefined) warnings = addIfNoNumber(warnings, root.offset)
  // A single event is its own request.
  if (root.sent_at !== undefined && batch.sentAtWarning === undefined) {
    const warning = toSentAtWarning(root.sent_at)
    if (warning) warnings = addWarning(warnings, warning)
  }
  if (row.distinct_id.length < distinctId.length) {
    warnings = addWarning(warnings, toWarning('text_cut', 'distinct_id', distinctId))
  }
  warnings = addIfCut(warnings, '$lib', properties.$lib)
  warnings = addIfCut(warnings, 'ip', root.ip)
  return root.ip ? warnings : addIfCut(warnings, '$ip', properties.$ip)
}

function addIfCut(warnings: Warnings, field: string, sent: unknown): Warnings {
  if (typeof sent !== 'string' || !isLongerThan(sent, shortTextLengthMax)) return warnings
  return addWarning(warnings, toWarning('text_cut', field, sent))
}

/** `offset` is a number. Null is none. */
function addIfNoNumber(warnings: Warnings, offset: unknown): Warnings {
  if (typeof offset === 'number' || offset === null) return warnings
  return addWarning(warnings, toWarning('time_unreadable', 'offset', offset))
}

function addIfNoObject(warnings: Warnings, field: string, sent: unknown): Warnings {
  if (sent === null || isJsonObject(fromPhp(sent))) return warnings
  return addWarning(warnings, toWarning('field_dropped', field, sent))
}

/** Another way to write the stored uuid is no difference, and an empty or nil one means "none". */
function addUuid(warnings: Warnings, sent: unknown): Warnings {
  if (sent === undefined || sent === null || sent === '' || isNil(sent)) return warnings
  const uuid = toClientUuid(sent)
  if (uuid !== undefined && isStorableUuid(uuid)) return warnings
  return addWarning(warnings, toWarning('uuid_replaced', 'uuid', sent))
}

const isNil = (uuid: unknown) => typeof uuid === 'string' && nilUuid.test(uuid)
const nilUuid = /^(?:urn:uuid:)?\{?[0-]{32,36}\}?$/i
