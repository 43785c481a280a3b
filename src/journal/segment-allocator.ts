import type { Log } from '../core/log.ts'
import type { FileSystem } from './file-system.ts'
import {
  createSegmentFile,
  removeSegmentFile,
  type SpareSegment,
  segmentBytesMin,
  toSegmentBytes,
} from './segment-file.ts'

/** The first segment is needed at once, so it is small: a start must not wait for a long fill. */
const firstBytesMax = 4 * 1024 * 1024

/** Keeps one spare segment ready, made in the background. */
export class Supply {
  readonly #options: SupplyOptions
  #nextNumber: number
  #bytesWanted: number
  #spare: SpareSegment | undefined
  #making: Promise<void> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #fault: Error | undefined
  #isClosed = false

  constructor(options: SupplyOptions) {
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
  poke(): void {
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
    await removeSegmentFile(this.#options.fileSystem, path)
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
      const bytes = await toSegmentBytes(fileSystem, { dir, ...size })
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
    this.#retry = setTimeout(() => this.poke(), this.#options.retryMs)
    this.#retry.unref()
  }
}

export type SupplyOptions = {
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
