import { join } from 'node:path'
import type { Log } from '../core/log.ts'
import { type FileSystem, type OpenFile, removeIfPresent, writeAll } from './file-system.ts'
import { toSegmentName } from './segments.ts'

/** The first segment is needed at once, so it is small: a start must not wait for a long fill. */
const firstBytesMax = 4 * 1024 * 1024

/** Below this a segment would be mostly header and directory work. */
const segmentBytesMin = 256 * 1024
/**
 * One write of zeros. Each is synced, so that a commit never waits behind a whole segment of them;
 * and they are few, since under load each takes a turn of the event loop.
 */
const fillBytes = 4 * 1024 * 1024
const zeros = Buffer.alloc(fillBytes)

/** Keeps one spare segment ready, made in the background. */
export class SegmentAllocator {
  readonly #options: SegmentAllocatorOptions
  #nextNumber: number
  #bytesWanted: number
  #spare: SpareSegment | undefined
  #making: Promise<void> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #fault: Error | undefined
  #isClosed = false

  constructor(options: SegmentAllocatorOptions) {
    this.#options = options
    this.#nextNumber = options.nextNumber
    this.#bytesWanted = Math.min(options.segmentBytes, firstBytesMax)
  }

  /** Room in the spare, 0 while there is none. */
  get spareBytes(): number {
    return this.#spare?.bytes ?? 0
  }

  /** Why there is no spare, where the last attempt to make one failed. */
  get fault(): Error | undefined {
    return this.#fault
  }

  /**
   * Hands out the spare or, even beyond the budget, makes one of `bytesMin`. Throws why there is
   * none.
   */
  async take(bytesMin: number): Promise<SpareSegment> {
    if (this.#making) await this.#making
    // While a fault lasts, the timer alone tries again: a refused request must not cost a fill.
    if (!this.#spare && !this.#fault && !this.#isClosed) await this.#start(bytesMin)
    const spare = this.#spare
    if (!spare) throw this.#fault ?? new Error('the journal is closed')
    this.#spare = undefined
    return spare
  }

  /**
   * Says that a spare is missing or that room may have come back. Stays within the budget: a
   * segment beyond it is made only when a commit that was promised room needs it.
   */
  prepare(): void {
    const { bytesLeft, segmentBytes } = this.#options
    const bytesMin = Math.min(segmentBytesMin, segmentBytes)
    const isWanted = this.#fault || bytesLeft() >= bytesMin
    if (!this.#spare && !this.#isClosed && isWanted) void this.#start(bytesMin)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retry)
    await this.#making
    if (!this.#spare) return
    const { file, path } = this.#spare
    this.#spare = undefined
    await file.close()
    await removeIfPresent(this.#options.fileSystem, path)
  }

  #start(bytesMin: number): Promise<void> {
    this.#making ??= this.#make(Math.min(bytesMin, this.#bytesWanted)).finally(() => {
      this.#making = undefined
    })
    return this.#making
  }

  async #make(bytesMin: number): Promise<void> {
    const { fileSystem, dir, segmentBytes, bytesLeft, log } = this.#options
    const size = { bytesMin, bytesWanted: this.#bytesWanted, bytesLeft: bytesLeft() }
    try {
      const bytes = await chooseSegmentBytes(fileSystem, { dir, ...size })
      const number = this.#nextNumber++
      this.#spare = await createSegmentFile(fileSystem, { dir, number, bytes })
      this.#bytesWanted = segmentBytes
      if (this.#fault) log.info({ bytes }, 'the journal has room again')
      this.#fault = undefined
    } catch (error) {
      if (!this.#fault) log.error({ error: String(error) }, 'no journal segment could be prepared')
      this.#fault = error instanceof Error ? error : new Error(String(error))
      this.#retryLater()
    }
  }

  #retryLater(): void {
    if (this.#isClosed) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.prepare(), this.#options.retryMs)
    this.#retry.unref()
  }
}

export type SegmentAllocatorOptions = {
  fileSystem: FileSystem
  dir: string
  nextNumber: number
  segmentBytes: number
  /** What the journal's budget leaves for one more segment. */
  bytesLeft(): number
  /** After a failure, ms until the next attempt. */
  retryMs: number
  log: Log
}

/** A segment file full of zeros, durable with its name: writing into it changes no metadata. */
export type SpareSegment = { number: number; path: string; file: OpenFile; bytes: number }

/** Leaves nothing behind when it fails. */
async function createSegmentFile(
  fileSystem: FileSystem,
  { dir, number, bytes }: { dir: string; number: number; bytes: number },
): Promise<SpareSegment> {
  const path = join(dir, toSegmentName(number))
  const file = await fileSystem.open(path, 'create')
  try {
    for (let position = 0; position < bytes; position += fillBytes) {
      const fill = zeros.subarray(0, Math.min(fillBytes, bytes - position))
      await writeAll(file.writeThrough, fill, position)
    }
    await file.sync()
    await fileSystem.syncFolder(dir)
    return { number, path, file, bytes }
  } catch (error) {
    await file.close().catch(() => {})
    await removeIfPresent(fileSystem, path).catch(() => {})
    throw error
  }
}

/**
 * How long the next segment may be: smaller than wanted on a disk or under a budget that is nearly
 * spent. At least half of the free disk stays free: whoever drains the journal may need it. Throws
 * ENOSPC where not even `bytesMin` fit.
 */
async function chooseSegmentBytes(
  fileSystem: FileSystem,
  { dir, bytesWanted, bytesMin, bytesLeft }: SegmentSize & { dir: string },
): Promise<number> {
  const free = await fileSystem.freeBytes(dir)
  let bytes = Math.max(bytesMin, Math.min(bytesWanted, bytesLeft))
  while (bytes > free / 2 && bytes > bytesMin) bytes = Math.max(bytesMin, Math.floor(bytes / 4))
  if (bytes <= free) return bytes
  const message = `${free} bytes are free on the journal's disk`
  throw Object.assign(new Error(message), { code: 'ENOSPC' })
}

/** `bytesLeft` is what the journal's budget leaves. */
type SegmentSize = { bytesWanted: number; bytesMin: number; bytesLeft: number }
