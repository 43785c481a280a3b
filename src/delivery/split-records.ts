import type { StoredRecord } from '../core/record.ts'
import type { ReadLimits } from '../journal/reader.ts'

/** Parts of records up to the limits. A larger record is a part of its own. */
export function* splitRecords(
  records: readonly StoredRecord[],
  { recordsMax, bytesMax }: ReadLimits,
): Generator<StoredRecord[]> {
  let part: StoredRecord[] = []
  let bytes = 0
  for (const record of records) {
    const isFull = part.length >= recordsMax || bytes + record.lineBytes > bytesMax
    if (isFull && part.length > 0) {
      yield part
      part = []
      bytes = 0
    }
    part.push(record)
    bytes += record.lineBytes
  }
  if (part.length > 0) yield part
}
