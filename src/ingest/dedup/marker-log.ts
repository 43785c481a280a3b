import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { loadMarkerFile, type MarkerDisk, nodeMarkerDisk } from './marker-disk.ts'
import { MarkerFolder } from './marker-folder.ts'
import { type DedupKeyWords, type DedupTable, dedupKeyBytes } from './seen-table.ts'

/** Keys are gathered in chunks of 64 KiB and written as chunks. */
const chunkDedupKeys = Math.floor((64 * 1024) / dedupKeyBytes)
/** At most 32 MiB wait while the disk fails; beyond that the oldest chunks are dropped. */
const chunksMax = 512

/**
 * Dedup keys on disk, so that a restart does not forget them: marker files by the hour, appended to
 * in batches and never rewritten. A file belongs to one process and is closed after a failed write,
 * so only its end can be incomplete.
 *
 * A key takes twelve bytes. With eight, one new event in 2^39 would be taken for a duplicate while
 * 33 million are remembered: at 10,000 events a second, one lost event in two years. 96 bits
 * restore both the bits that the table compares and the place in the table.
 */
export function createMarkerFiles(options: MarkerFilesOptions): MarkerFiles {
  return new Files({ flushMs: 1000, disk: nodeMarkerDisk, ...options })
}

export type MarkerFilesOptions = {
  folder: string
  /** On disk in total; beyond it the oldest files are removed. */
  bytesMax: number
  now: Clock
  log: Log
  /** How long a key may wait for others before it is written. */
  flushMs?: number
  disk?: MarkerDisk
}

export type MarkerFiles = {
  /** `unsaved`: keys dropped because the disk kept failing; a crash would forget them. */
  counts(): { bytes: number; unsaved: number; failures: number }
  /**
   * Reads the keys of the last 24 hours, oldest first, and returns their number. Call once, before
   * the first append.
   */
  load(table: Pick<DedupTable, 'prefetch' | 'add'>): Promise<number>
  append(words: DedupKeyWords, hour: number): void
  /**
   * Resolves once all keys appended so far are on disk. Rejects if the disk fails; the keys are
   * kept for the next try.
   */
  sync(): Promise<void>
  /** Writes the waiting keys. Ignores a failure of the disk. */
  close(): Promise<void>
}

/** Keys of one hour that wait to be written. */
type Chunk = { hour: number; used: number; words: Int32Array }

class Files implements MarkerFiles {
  readonly #options: Required<MarkerFilesOptions>
  readonly #folder: MarkerFolder
  #chunks: Chunk[] = []
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #timer: Timer | undefined
  #isFailing = false
  #isClosed = false
  #unsaved = 0
  #failures = 0

  constructor(options: Required<MarkerFilesOptions>) {
    this.#options = options
    this.#folder = new MarkerFolder(options)
  }

  counts() {
    return { bytes: this.#folder.bytes, unsaved: this.#unsaved, failures: this.#failures }
  }

  async load(table: Pick<DedupTable, 'prefetch' | 'add'>): Promise<number> {
    const { disk, folder, log } = this.#options
    let dedupKeys = 0
    for (const file of await this.#folder.list()) {
      try {
        dedupKeys += await loadMarkerFile({ disk, folder, table }, file)
      } catch (error) {
        // Start without these keys: duplicates of their events are accepted, which is better than
        // no start.
        const message = 'cannot read a marker file: duplicates of its events may be accepted'
        log.error({ file: file.name, error: String(error) }, message)
      }
    }
    return dedupKeys
  }

  append({ a, b, c }: DedupKeyWords, hour: number): void {
    let chunk = this.#chunks.at(-1)
    if (chunk === undefined || chunk.used === chunk.words.length || chunk.hour !== hour)
      chunk = this.#addChunk(hour)
    chunk.words[chunk.used] = a
    chunk.words[chunk.used + 1] = b
    chunk.words[chunk.used + 2] = c
    chunk.used += 3
  }

  sync(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#flush().finally(() => {
        this.#running = undefined
      })
      return this.#running
    }
    // Keys appended during this flush need another one; all callers meanwhile share it.
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.sync()
      })
    return this.#next
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.sync().catch(() => {})
    clearTimeout(this.#timer)
    await this.#folder.leave()
  }

  #addChunk(hour: number): Chunk {
    const chunk = { hour, used: 0, words: new Int32Array(chunkDedupKeys * 3) }
    this.#chunks.push(chunk)
    this.#dropBeyondMax()
    if (this.#chunks.length === 1 || this.#isFailing) this.#flushLater()
    else this.sync().catch(() => {})
    return chunk
  }

  #flushLater(): void {
    if (this.#isClosed) return
    this.#timer ??= setTimeout(() => this.sync().catch(() => {}), this.#options.flushMs)
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const chunks = this.#chunks
    if (chunks.length === 0) return
    this.#chunks = []
    try {
      for (const { hour, words, used } of chunks)
        await this.#folder.write(hour, new Uint8Array(words.buffer, 0, used * 4))
      await this.#folder.sync()
      this.#isFailing = false
    } catch (error) {
      await this.#keepForLater(chunks, error)
      throw error
    }
  }

  /** Keeps all chunks, although some may be written: a key may be stored twice without harm. */
  async #keepForLater(chunks: Chunk[], error: unknown): Promise<void> {
    if (!this.#isFailing)
      this.#options.log.error(
        { error: String(error) },
        'cannot write marker files: after a crash, duplicates may be accepted',
      )
    this.#isFailing = true
    this.#failures += 1
    this.#chunks = [...chunks, ...this.#chunks]
    this.#dropBeyondMax()
    await this.#folder.leave()
    this.#flushLater()
  }

  #dropBeyondMax(): void {
    while (this.#chunks.length > chunksMax) this.#unsaved += this.#chunks.shift()!.used / 3
  }
}
