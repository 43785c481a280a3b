import { join } from 'node:path'
import type { Log } from '../core/log.ts'
import {
  type FileSystem,
  isOutOfDescriptors,
  type OpenFile,
  removeIfPresent,
  writeAll,
} from './file-system.ts'
import { toSegmentName } from './segments.ts'

/** The first segment is small, because a start waits until it is filled with zeros. */
const firstBytesMax = 4 * 1024 * 1024

/** A smaller segment would cost more in creation than it holds. */
const segmentBytesMin = 256 * 1024
/**
 * One write of zeros. Each is synced, so that a commit never waits for a whole segment of them. They
 * are large, because under load each takes one event-loop iteration.
 */
const fillBytes = 4 * 1024 * 1024
const zeros = Buffer.alloc(fillBytes)
/** The server closes idle connections when it has no descriptor left, which takes some 100 ms. */
const descriptorsRetryMs = 100

/** Keeps one spare segment ready, which is created in the background. */
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

  /** Length of the spare; 0 if there is none. */
  get spareBytes(): number {
    return this.#spare?.bytes ?? 0
  }

  /** Why the last attempt to create a spare failed; undefined if it succeeded. */
  get fault(): Error | undefined {
    return this.#fault
  }

  /** Returns the spare, or creates one of `bytesMin` even beyond the budget. Throws on failure. */
  async take(bytesMin: number): Promise<SpareSegment> {
    if (this.#making) await this.#making
    // During a fault only the timer tries again: a refused request must not cost a segment of zeros.
    if (!this.#spare && !this.#fault && !this.#isClosed) await this.#start(bytesMin)
    const spare = this.#spare
    if (!spare) throw this.#fault ?? new Error('the journal is closed')
    this.#spare = undefined
    return spare
  }

  /**
   * Creates a missing spare in the background. Stays within the budget: a segment beyond it is created
   * only for a commit whose space was reserved.
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
      if (this.#fault) log.info({ bytes }, 'the journal has space again')
      this.#fault = undefined
    } catch (error) {
      if (!this.#fault)
        log.error(
          { error: String(error) },
          'cannot create a journal segment; requests are refused once the open one is full',
        )
      this.#fault = error instanceof Error ? error : new Error(String(error))
      this.#retryLater(isOutOfDescriptors(error) ? descriptorsRetryMs : this.#options.retryMs)
    }
  }

  #retryLater(afterMs: number): void {
    if (this.#isClosed) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.prepare(), afterMs)
    this.#retry.unref()
  }
}

type SegmentAllocatorOptions = {
  fileSystem: FileSystem
  dir: string
  nextNumber: number
  segmentBytes: number
  /** The bytes that the journal's budget leaves for a further segment. */
  bytesLeft(): number
  /** Pause between attempts after a failure, ms. */
  retryMs: number
  log: Log
}

/** A file of zeros, synced with its name: a write into it changes no metadata. */
export type SpareSegment = { number: number; path: string; file: OpenFile; bytes: number }

/** Removes the file when it fails. */
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
 * Length of the next segment, smaller than wanted when little disk space or budget is left. Half of
 * the free disk space stays free if possible, because the embedded ClickHouse needs space to drain
 * the journal. Throws ENOSPC if not even `bytesMin` fit.
 */
async function chooseSegmentBytes(
  fileSystem: FileSystem,
  { dir, bytesWanted, bytesMin, bytesLeft }: SegmentSize & { dir: string },
): Promise<number> {
  const free = await fileSystem.freeBytes(dir)
  let bytes = Math.max(bytesMin, Math.min(bytesWanted, bytesLeft))
  while (bytes > free / 2 && bytes > bytesMin) bytes = Math.max(bytesMin, Math.floor(bytes / 4))
  if (bytes <= free) return bytes
  const message = `the journal's disk has ${free} free bytes; a segment needs ${bytes}`
  throw Object.assign(new Error(message), { code: 'ENOSPC' })
}

/** `bytesLeft`: the rest of the journal's budget. */
type SegmentSize = { bytesWanted: number; bytesMin: number; bytesLeft: number }
