import type { StoredRecord } from '../core/record.ts'
import type { Reader, ReadLimits } from './reader.ts'
import type { Ring } from './ring.ts'

/** Where one shipper reads: the ring while it keeps up, the journal while it catches up. */
export type Source = {
  /**
   * Committed records from `fromOffset` on; an empty list means: none yet. Offsets may have gaps.
   */
  read(fromOffset: number, limits: ReadLimits): Promise<StoredRecord[]>
  /** Every record below it is committed. */
  readonly endOffset: number
}

/** Each shipper has a reader of its own: a reader remembers one place. */
export function createSource({
  ring,
  reader,
}: {
  ring: Ring
  reader: Pick<Reader, 'read'>
}): Source {
  return {
    get endOffset() {
      return ring.endOffset
    },
    async read(fromOffset, limits) {
      return (
        ring.read(fromOffset, limits) ??
        (await reader.read(fromOffset, { ...limits, endOffset: ring.endOffset }))
      )
    },
  }
}
