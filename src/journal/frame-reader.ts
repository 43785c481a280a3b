import type { DamageReporter } from './damage.ts'
import { type FileSystem, type OpenFile, openIfPresent } from './file-system.ts'
import { frameHeaderBytes, isBlank } from './frame.ts'
import { createScanner, type Frame, type Scanner } from './scanner.ts'
import { listSegments, type Segment } from './segments.ts'

/**
 * Reads committed frames in order, across segments and past damage. The header of the next segment
 * tells which frames were refused, so the folder is listed again whenever commits may have gone to a
 * segment that is not known yet.
 */
export class FrameReader {
  readonly #options: FrameReaderOptions
  #segments: readonly Segment[] = []
  #listedAtOffset = -1
  #current: { segment: Segment; file: OpenFile; scanner: Scanner } | undefined

  constructor(options: FrameReaderOptions) {
    this.#options = options
  }

  /** Moves to the segment that holds `offset`, or to the first one after it. */
  async seek(offset: number): Promise<void> {
    await this.#list()
    const holder = this.#segments.findLast(({ header }) => header.firstOffset <= offset)
    await this.#open(holder ?? this.#segments[0])
  }

  /** The next frame that begins below `endOffset`, or undefined if there is none yet. */
  async peek(endOffset: number): Promise<Frame | undefined> {
    while (this.#current) {
      const { segment, scanner } = this.#current
      if (!this.#successor(segment) && endOffset > this.#listedAtOffset) {
        await this.#list()
        this.#listedAtOffset = endOffset
      }
      const successor = this.#successor(segment)
      const lastSequence = successor?.header.lastCommittedSequence ?? Number.POSITIVE_INFINITY
      if (scanner.lastSequence >= lastSequence) {
        await this.#open(successor)
        continue
      }
      const frame = await peekUncached(scanner)
      if (frame && frame.firstOffset < endOffset) return frame
      // A running commit may still be refused: read its frame again when the outcome is known.
      if (frame) scanner.discard()
      if (frame || !(await this.#skipInvalid(successor))) return undefined
    }
    return undefined
  }

  /** Moves behind the frame that `peek` returned. */
  advance(): void {
    this.#current?.scanner.advance()
  }

  /** False before the first `seek`, and when no segment was left to move to. */
  get hasPosition(): boolean {
    return this.#current !== undefined
  }

  async close(): Promise<void> {
    const file = this.#current?.file
    this.#current = undefined
    await file?.close()
  }

  /** No valid frame follows: moves to the next valid one. False if none is written yet. */
  async #skipInvalid(successor: Segment | undefined): Promise<boolean> {
    const { segment, scanner } = this.#current!
    if (!successor) {
      await this.#list()
      if (this.#successor(segment)) return true
      if (isBlank(await scanner.peekBytes(frameHeaderBytes))) return false
    }
    const { position } = scanner
    const sequenceMax = successor?.header.lastCommittedSequence ?? Number.MAX_SAFE_INTEGER
    const isFound = await scanner.resync(sequenceMax)
    if (!isFound && !successor) return false
    const what = 'commits before a valid one cannot be read and are skipped'
    await this.#options.damage.report({ path: segment.path, position, what })
    if (!isFound) await this.#open(successor)
    return true
  }

  #successor(segment: Segment): Segment | undefined {
    return this.#segments.find(({ number }) => number > segment.number)
  }

  async #list(): Promise<void> {
    // An inferred header may have been read while it was written: read it again.
    const known = this.#segments.filter(({ headerState }) => headerState !== 'inferred')
    const { segments } = await listSegments({
      ...this.#options,
      known: new Map(known.map((segment) => [segment.number, segment])),
    })
    this.#segments = segments
  }

  /** If the segment was unlinked meanwhile, opens the next one, also one that is not known yet. */
  async #open(segment: Segment | undefined): Promise<void> {
    await this.close()
    const { fileSystem, seed } = this.#options
    for (let next = segment; next; next = await this.#after(next)) {
      const file = await openIfPresent(fileSystem, next.path)
      if (!file) continue
      const origin = { segment: next.number, seed }
      const scanner = createScanner({ file, origin, lastSequence: next.header.firstSequence - 1 })
      this.#current = { segment: next, file, scanner }
      return
    }
  }

  async #after(gone: Segment): Promise<Segment | undefined> {
    const known = this.#successor(gone)
    if (known) return known
    await this.#list()
    return this.#successor(gone)
  }
}

export type FrameReaderOptions = {
  fileSystem: FileSystem
  dir: string
  seed: number
  damage: DamageReporter
}

/** The read buffer may be older than the frame: read again before giving up. */
async function peekUncached(scanner: Scanner): Promise<Frame | undefined> {
  const frame = await scanner.peek()
  if (frame) return frame
  scanner.discard()
  return scanner.peek()
}
