import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import {
  type DedupKeyTable,
  loadMarkerFile,
  type MarkerDisk,
  nodeMarkerDisk,
} from './marker-disk.ts'
import { MarkerFolder } from './marker-folder.ts'
import { type DedupKeyWords, dedupKeyBytes } from './seen-table.ts'

/** 64 KiB: what is gathered before a write, and the unit in which a failed one is kept. */
const chunkDedupKeys = Math.floor((64 * 1024) / dedupKeyBytes)
/** 32 MiB may wait for a disk that fails; beyond them the oldest are given up. */
const chunksMax = 512

/**
 * Seen markers beside the journal, so that a restart does not forget them: files by the hour, appended to in batches
 * and never rewritten. A file belongs to one process and is left where a write failed, so what is torn is its end.
 *
 * A marker takes twelve bytes, not eight: by 64 bits alone one new event in 2^39 would be taken for a seen one while 33
 * million are remembered: at 10,000 events a second, one lost in two years. 96 bits bring back both what the table
 * compares and where it looks.
 */
export function createMarkerFiles(options: MarkerFilesOptions): MarkerFiles {
  return new Files({ flushMs: 1000, disk: nodeMarkerDisk, ...options })
}

export type MarkerFilesOptions = {
  folder: string
  /** On disk, in all; beyond it the oldest file is given up. */
  bytesMax: number
  now: Clock
  log: Log
  /** How long a marker waits for company before it is written. */
  flushMs?: number
  disk?: MarkerDisk
}

export type MarkerFiles = {
  /** `unsaved`: given up because the disk kept failing; a crash would forget them. */
  counts(): { bytes: number; unsaved: number; failures: number }
  /** Reads the last 24 hours, oldest first, and gives their number. Once, before the first append. */
  load(table: DedupKeyTable): Promise<number>
  append(words: DedupKeyWords, hour: number): void
  /** Resolves once all appended so far is on disk; rejects when the disk refuses, and keeps it for the next try. */
  sync(): Promise<void>
  /** Writes what waits, if the disk lets it. */
  close(): Promise<void>
}

/** Markers of one hour that wait for their write. */
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

  async load(table: DedupKeyTable): Promise<number> {
    const { disk, folder, log } = this.#options
    let dedupKeys = 0
    for (const file of await this.#folder.list()) {
      try {
        dedupKeys += await loadMarkerFile({ disk, folder, table }, file)
      } catch (error) {
        // Without these markers copies may get in; without a start nothing does.
        log.error({ file: file.name, error: String(error) }, 'a marker file cannot be read')
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
    // What was appended during this flush needs another; all who ask meanwhile share it.
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
    this.#giveUpBeyondMax()
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

  /** All of them, though some may be written: a marker that stands twice does no harm. */
  async #keepForLater(chunks: Chunk[], error: unknown): Promise<void> {
    if (!this.#isFailing)
      this.#options.log.error({ error: String(error) }, 'markers cannot be written')
    this.#isFailing = true
    this.#failures += 1
    this.#chunks = [...chunks, ...this.#chunks]
    this.#giveUpBeyondMax()
    await this.#folder.leave()
    this.#flushLater()
  }

  #giveUpBeyondMax(): void {
    while (this.#chunks.length > chunksMax) this.#unsaved += this.#chunks.shift()!.used / 3
  }
}
