import { createHash } from 'node:crypto'
import type { DeadLetterRow } from '../../core/event.ts'
import { deadLetterRawBytesMax } from '../../core/limits.ts'
import { type StoredRecord, toStoredLine } from '../../core/record.ts'
import type { ClickHouseFailure } from './failure.ts'

/** A record that ClickHouse cannot take, and why. */
export type Burial = { record: StoredRecord; failure: ClickHouseFailure }

/**
 * The row of `dead_letters` that stands in for a record. Its uuid follows from the record's place
 * in the journal, so that a second attempt at the same record makes the same row.
 */
export function toDeadLetter({ record, failure }: Burial, journalId: string): StoredRecord {
  const uuid = toUuid(`${journalId}/${record.offset}`)
  const raw = decoder.decode(record.line.subarray(0, deadLetterRawBytesMax)).trimEnd()
  const row = {
    uuid,
    ...toOrigin(record.line),
    protocol: record.source,
    stage: 'clickhouse',
    reason: failure.reason,
    detail: failure.message,
    received_at: new Date(record.receivedMs).toISOString(),
    raw,
  } satisfies Record<keyof DeadLetterRow, string>
  const line = toStoredLine(encoder.encode(`${JSON.stringify(row)}\n`))
  const head = { uuid, dedupKey: undefined, event: '', key: '' }
  const { offset, route, source, receivedMs } = record
  return { offset, route, source, receivedMs, kind: 'dead_letter', ...line, head: () => head }
}

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** A line is parsed here only, as it is rare; one that is no JSON has no origin. */
function toOrigin(line: Uint8Array): { project: string; ip: string } {
  try {
    const row = JSON.parse(decoder.decode(line)) as Record<string, unknown>
    const project = String(row.project ?? row.project_id ?? '')
    return { project, ip: String(row.ip ?? row.ip_address ?? '') }
  } catch {
    return { project: '', ip: '' }
  }
}

/** A uuid of version 8: made by a rule of our own. */
function toUuid(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) % 4]
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`]
  return [...groups, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-')
}
