import type { CommittedBlock, StoredRecord } from '../core/record.ts'
import type { Reader, ReadLimits } from './reader.ts'
import { createRecordCursor, takeRecords } from './record-codec.ts'

/**
 * The newest committed blocks, in memory and without a gap between them. The oldest are dropped
 * when every sink has them, and when a bound is exceeded. A block may be missing, when blocks come
 * faster than this thread takes them: then everything before the gap is dropped, and a shipper reads
 * that part from the disk.
 */
export type RecentRecords = {
  push(block: CommittedBlock): void
  /**
   * Every sink has all records below `offset`. Frees the memory of their blocks at once: views of
   * them are empty afterwards.
   */
  release(offset: number): void
  /** Records below `endOffset` are committed, and their blocks will not be pushed. */
  skipTo(endOffset: number): void
  /** Records from `fromOffset` on; undefined if the record at `fromOffset` is no longer held. */
  read(fromOffset: number, limits: ReadLimits): StoredRecord[] | undefined
  /** Every record below it is committed. */
  readonly endOffset: number
  readonly stats: { bytes: number; blocks: number; firstOffset: number | undefined }
}

/** `endOffset`: where the journal's commits end now. */
type RecentRecordsOptions = { bytesMax: number; blocksMax: number; endOffset: number }

export function createRecentRecords(options: RecentRecordsOptions): RecentRecords {
  const { bytesMax, blocksMax } = options
  const blocks: CommittedBlock[] = []
  let bytes = 0
  let { endOffset } = options

  function push(block: CommittedBlock): void {
    skipTo(block.firstOffset)
    blocks.push(block)
    bytes += block.bytes.byteLength
    endOffset = endOf(block)
    while (bytes > bytesMax || blocks.length > blocksMax) bytes -= blocks.shift()!.bytes.byteLength
  }

  function release(offset: number): void {
    while (blocks[0] && endOf(blocks[0]) <= offset) {
      const { buffer, byteLength } = blocks.shift()!.bytes
      bytes -= byteLength
      // The garbage collector would let several times the memory in use accumulate.
      if (buffer instanceof ArrayBuffer) buffer.transfer(0)
    }
  }

  function skipTo(offset: number): void {
    if (offset <= endOffset) return
    blocks.length = 0
    bytes = 0
    endOffset = offset
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
    release,
    skipTo,
    read,
    get endOffset() {
      return endOffset
    },
    get stats() {
      return { bytes, blocks: blocks.length, firstOffset: blocks[0]?.firstOffset }
    },
  }
}

/** Where one shipper reads: recent records while it keeps up, the disk while it catches up. */
export type RecordSource = {
  /** Committed records from `fromOffset` on; empty if there are none yet. Offsets may have gaps. */
  read(fromOffset: number, limits: ReadLimits): Promise<StoredRecord[]>
  /** Every record below it is committed. */
  readonly endOffset: number
}

/** Each shipper needs a reader of its own: a reader remembers one position. */
export function createRecordSource({
  recent,
  reader,
}: {
  recent: RecentRecords
  reader: Pick<Reader, 'read'>
}): RecordSource {
  return {
    get endOffset() {
      return recent.endOffset
    },
    async read(fromOffset, limits) {
      return (
        recent.read(fromOffset, limits) ??
        (await reader.read(fromOffset, { ...limits, endOffset: recent.endOffset }))
      )
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
