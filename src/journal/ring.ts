import type { CommittedBlock, StoredRecord } from '../core/record.ts'
import type { ReadLimits } from './reader.ts'
import { createRecordCursor, takeRecords } from './record-codec.ts'

/** The newest committed blocks, in memory; the oldest make room for new ones. */
export type Ring = {
  push(block: CommittedBlock): void
  /** Records from `fromOffset` on, or undefined where the ring no longer holds that far back. */
  read(fromOffset: number, limits: ReadLimits): StoredRecord[] | undefined
  /** Every record below it is committed. */
  readonly endOffset: number
  readonly stats: { bytes: number; blocks: number; firstOffset: number | undefined }
}

/** `endOffset` is where the journal's commits ended when the ring was made. */
export function createRing({
  bytesMax,
  blocksMax,
  endOffset = 0,
}: {
  bytesMax: number
  blocksMax: number
  endOffset?: number
}): Ring {
  const blocks: CommittedBlock[] = []
  let bytes = 0

  function push(block: CommittedBlock): void {
    blocks.push(block)
    bytes += block.bytes.byteLength
    endOffset = endOf(block)
    while (bytes > bytesMax || blocks.length > blocksMax) bytes -= blocks.shift()!.bytes.byteLength
  }

  function read(fromOffset: number, limits: ReadLimits): StoredRecord[] | undefined {
    if (fromOffset >= endOffset) return []
    const first = blocks[0]
    if (!first || fromOffset < first.firstOffset) return undefined
    const take = { records: [], bytesLeft: limits.bytesMax, recordsLeft: limits.recordsMax }
    for (let index = indexOf(blocks, fromOffset); index < blocks.length; index += 1)
      if (!takeRecords(createRecordCursor(blocks[index]!, fromOffset), take)) break
    return take.records
  }

  return {
    push,
    read,
    get endOffset() {
      return endOffset
    },
    get stats() {
      return { bytes, blocks: blocks.length, firstOffset: blocks[0]?.firstOffset }
    },
  }
}

function endOf(block: CommittedBlock): number {
  return block.firstOffset + block.count
}

/** The first block that ends after `offset`. */
function indexOf(blocks: readonly CommittedBlock[], offset: number): number {
  let low = 0
  let high = blocks.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (endOf(blocks[middle]!) > offset) high = middle
    else low = middle + 1
  }
  return low
}
