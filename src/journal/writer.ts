import { IngestError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Block } from './block.ts'
import { isNoSpace, isOutOfDescriptors, writeAll } from './file-system.ts'
import { frameHeaderBytes, sealFrame, toSeed } from './frame.ts'
import type { Catalog, CatalogEntry } from './retention.ts'
import type { Frame } from './scanner.ts'
import type { SegmentAllocator, SpareSegment } from './segment-allocator.ts'
import { segmentHeaderBytes, toHeaderBytes } from './segment-header.ts'

/** Appends frames to segments. Callers await each call before the next one. */
export class Writer {
  readonly #options: WriterOptions
  readonly #seed: number
  #lastSequence: number
  #unprovenFrame: Frame | undefined
  #open: OpenSegment | undefined
  #retiring: Promise<void> = Promise.resolve()

  constructor(options: WriterOptions) {
    this.#options = options
    this.#seed = toSeed(options.journalId)
    this.#unprovenFrame = options.unprovenFrame
    this.#lastSequence = options.lastSequence
  }

  /** Free space in the open segment. */
  get spaceBytes(): number {
    return this.#open ? Math.max(0, this.#open.bytes - this.#open.position) : 0
  }

  /** The open segment holds at least one frame. */
  get hasFrames(): boolean {
    return this.#open !== undefined && this.#open.position > segmentHeaderBytes
  }

  /**
   * Resolves when the block's frame is on disk. Rejects with `journal_failed` or `journal_full`: then
   * the block is refused, even if its bytes reached the disk.
   */
  async write(block: Block, firstOffset: number): Promise<void> {
    let segment: OpenSegment | undefined
    try {
      segment = await this.#segmentFor(block, firstOffset)
      await this.#append(segment, { block, firstOffset })
    } catch (error) {
      if (segment) await this.#abandon(segment, { firstOffset, error })
      throw toIngestError(error)
    }
  }

  /** Opens the next segment, whose records begin at `firstOffset`, and syncs its header. */
  async startSegment(firstOffset: number): Promise<void> {
    const segment = await this.#openNext(firstOffset)
    try {
      await this.#sync(segment)
    } catch (error) {
      this.#open = undefined
      await closeQuietly(segment)
      throw error
    }
  }

  async close(): Promise<void> {
    if (this.#open) this.#retire(this.#open)
    this.#open = undefined
    await this.#retiring
  }

  async #segmentFor(block: Block, firstOffset: number): Promise<OpenSegment> {
    const open = this.#open
    // A frame larger than a segment gets its own segment, and the file grows.
    if (open && (!this.hasFrames || block.frameBytes <= this.spaceBytes)) return open
    return this.#openNext(firstOffset, block.frameBytes)
  }

  async #append(
    segment: OpenSegment,
    { block, firstOffset }: { block: Block; firstOffset: number },
  ): Promise<void> {
    const place = { sequence: this.#lastSequence + 1, firstOffset }
    const frame = block.seal({ segment: segment.number, seed: this.#seed }, place)
    const { file, position, entry } = segment
    // The sync of the first commit covers the header too.
    if (entry.isDurable && this.#options.isSynced) {
      await writeAll(file.writeThrough, frame, position)
    } else {
      await writeAll(file.write, frame, position)
      await this.#sync(segment)
    }
    extend(segment, frame.length)
    this.#lastSequence += 1
  }

  /** Writes the header without a sync: the sync of the first commit covers both. */
  async #openNext(firstOffset: number, frameBytes = 0): Promise<OpenSegment> {
    const { allocator, catalog } = this.#options
    const spare = await allocator.take(segmentHeaderBytes + frameBytes)
    const { number, path, bytes } = spare
    if (this.#unprovenFrame) this.#lastSequence = this.#unprovenFrame.sequence - 1
    const start = this.#unprovenFrame?.firstOffset ?? firstOffset
    const entry = { number, path, bytes, firstOffset: start, isDurable: false }
    catalog.add(entry)
    allocator.prepare()
    const segment = { ...spare, position: segmentHeaderBytes, entry }
    // Once this header is on disk, further frames in the previous segment would count as refused.
    if (this.#open) this.#retire(this.#open)
    this.#open = undefined
    try {
      if (this.#unprovenFrame) await this.#rewrite(segment, this.#unprovenFrame)
      await writeAll(segment.file.write, this.#toHeader(entry), 0)
    } catch (error) {
      await closeQuietly(segment)
      throw error
    }
    if (this.#unprovenFrame) this.#lastSequence = this.#unprovenFrame.sequence
    this.#open = segment
    return segment
  }

  #toHeader({ number, firstOffset }: CatalogEntry): Buffer {
    return toHeaderBytes({
      journalId: this.#options.journalId,
      number,
      firstOffset,
      firstSequence: this.#lastSequence + 1,
      lastCommittedSequence: this.#lastSequence,
      createdMs: this.#options.now(),
    })
  }

  /** Before the header, because the header makes the frame's first copy count as refused. */
  async #rewrite(segment: OpenSegment, frame: Frame): Promise<void> {
    const bytes = Buffer.concat([Buffer.alloc(frameHeaderBytes), frame.payload])
    sealFrame(bytes, { segment: segment.number, seed: this.#seed }, frame)
    await writeAll(segment.file.write, bytes, segment.position)
    if (this.#options.isSynced) await segment.file.dataSync()
    extend(segment, bytes.length)
  }

  async #sync({ file, entry }: OpenSegment): Promise<void> {
    if (this.#options.isSynced) await file.dataSync()
    entry.isDurable = true
    this.#unprovenFrame = undefined
  }

  /**
   * A file that failed once is not written again. Before the refusal is reported it is made durable:
   * by the header of the next segment or, if no segment can be created, by truncating the file. If
   * both fail and the process ends before a segment is started, the refused commit may come back.
   */
  async #abandon(
    failed: OpenSegment,
    { firstOffset, error }: { firstOffset: number; error: unknown },
  ): Promise<void> {
    const { log } = this.#options
    const { path } = failed
    log.error(
      { path, error: String(error) },
      'a commit failed and was refused; its segment is closed',
    )
    this.#open = undefined
    try {
      await this.startSegment(firstOffset)
    } catch {
      await trim(failed).catch((cause) => {
        log.error(
          { path, error: String(cause) },
          'cannot make a refusal durable; a restart may bring the commit back',
        )
      })
    }
    await closeQuietly(failed)
  }

  #retire(full: OpenSegment): void {
    const { log } = this.#options
    const closing = trim(full)
      .catch((error) =>
        log.warn(
          { path: full.path, error: String(error) },
          'cannot truncate a full segment; it keeps its unused space',
        ),
      )
      .then(() => closeQuietly(full))
    this.#retiring = Promise.all([this.#retiring, closing]).then(() => {})
  }
}

type WriterOptions = {
  journalId: string
  catalog: Catalog
  allocator: SegmentAllocator
  lastSequence: number
  /** The last commit found at start. It is written again into each new segment until one is durable. */
  unprovenFrame: Frame | undefined
  /** False (`DURABILITY=memory`): writes are not synced. */
  isSynced: boolean
  now: () => number
  log: Log
}

/** The segment that is being written; the next frame goes to `position`. */
type OpenSegment = SpareSegment & { position: number; entry: CatalogEntry }

function extend(segment: OpenSegment, bytes: number): void {
  segment.position += bytes
  segment.entry.bytes = Math.max(segment.entry.bytes, segment.position)
}

/** Truncates the file behind its last frame. */
async function trim({ file, position, entry }: OpenSegment): Promise<void> {
  await file.truncate(position)
  await file.sync()
  entry.bytes = position
}

async function closeQuietly({ file }: OpenSegment): Promise<void> {
  await file.close().catch(() => {}) // Its frames are synced or refused.
}

function toIngestError(error: unknown): IngestError {
  const retry = { retryAfterSeconds: 1 }
  if (isNoSpace(error)) return new IngestError('journal_full', 'The disk is full.', retry)
  if (isOutOfDescriptors(error))
    return new IngestError('out_of_descriptors', 'The server has too many open files.', retry)
  return new IngestError('journal_failed', 'The disk failed.', retry)
}
