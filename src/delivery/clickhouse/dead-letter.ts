import { createHash } from 'node:crypto'
import { toDeadLetter } from '../../contracts/encode.ts'
import { type StoredRecord, toLineText, toStoredLine } from '../../core/record.ts'
import type { ClickHouseFailure } from './failure.ts'

/** A record that ClickHouse refuses, and its error. */
export type Burial = { record: StoredRecord; failure: ClickHouseFailure }

/**
 * The dead letter of a record that ClickHouse refuses. Its uuid derives from the record's place in the
 * journal, so that a second attempt at the same record gives the same row.
 */
export function toStoredDeadLetter({ record, failure }: Burial, journalId: string): StoredRecord {
  const { offset, receivedMs } = record
  const { message: detail, reason } = failure
  const uuid = toUuid(`${journalId}/${offset}`)
  const { line, dedupKey, event, key, ...letter } = toDeadLetter({
    ...{ record, stage: 'clickhouse', reason, detail, uuid, receivedMs },
  })
  const stored = toStoredLine(encoder.encode(`${toLineText(line)}\n`))
  return { ...letter, ...stored, offset, head: () => ({ uuid, dedupKey, event, key }) }
}

const encoder = new TextEncoder()

/** A uuid of version 8: the format for custom rules. */
function toUuid(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) % 4]
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`]
  return [...groups, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-')
}
