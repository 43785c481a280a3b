import type { CommittedBlock, StoredRecord } from '../core/record.ts'
import type { ReadLimits } from '../delivery/backlog.ts'
import { createRing, type Ring } from './ring.ts'

/**
 * The newest part of the journal that is in memory. Blocks may be left out, when they come faster
 * than this thread takes them: then what was before the gap is dropped, so that whoever reads it
 * turns to the journal.
 */
export type JournalWindow = Pick<Ring, 'push' | 'read' | 'endOffset' | 'stats'> & {
  /** Blocks before `endOffset` are committed and will not be pushed. */
  skipTo(endOffset: number): void
}

export type JournalWindowOptions = { bytesMax: number; blocksMax: number; endOffset: number }

export function createJournalWindow({ endOffset, ...bounds }: JournalWindowOptions): JournalWindow {
  let ring = createRing({ ...bounds, endOffset })

  function skipTo(offset: number): void {
    if (offset > ring.endOffset) ring = createRing({ ...bounds, endOffset: offset })
  }

  return {
    push(block: CommittedBlock): void {
      skipTo(block.firstOffset)
      ring.push(block)
    },
    skipTo,
    read: (fromOffset: number, limits: ReadLimits): StoredRecord[] | undefined =>
      ring.read(fromOffset, limits),
    get endOffset() {
      return ring.endOffset
    },
    get stats() {
      return ring.stats
    },
  }
}
