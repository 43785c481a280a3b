import { IngestError } from '../../core/errors.ts'
import type { Bounds } from './decompress.ts'

/**
 * Decompresses the output of LZString.compressToBase64; undefined if the text is not such output.
 * Written by hand: the library's decompressor has no bound, and its output may grow with the square
 * of its input. Throws body_too_large and the ticket's too_busy.
 */
export function decompressLz64(base64: string, bounds: Bounds): string | undefined {
  if (base64.length > compressedCharsMax) throw tooLarge(`${compressedCharsMax} characters of lz64`)
  const bits = new BitReader(base64)
  const first = bits.read(2)
  if (first === endCode) return ''
  if (first > endCode) return undefined
  const words = new Words(bits.read(literalBits(first)), bounds)
  while (!bits.isAtEnd()) {
    const code = bits.read(words.codeBits)
    if (code === endCode) return bits.isValid ? words.toText() : undefined
    if (code < endCode) words.appendLiteral(bits.read(literalBits(code)))
    else if (!words.append(code)) return undefined
  }
  return undefined
}

/** About 0.1 s of work. Old SDKs compress URLs and beacons with lz64, which are far smaller. */
const compressedCharsMax = 4 * 1024 * 1024

/**
 * Codes 0 and 1 precede a new character of 8 or 16 bits. Codes from 3 on are words of the
 * dictionary.
 */
const endCode = 2
const firstWord = 3
const literalBits = (code: number) => (code === 0 ? 8 : 16)

/**
 * The values of the alphabet with their six bits reversed, so that the stream can be read from the
 * lowest bit.
 */
const sextets = new Int8Array(128).fill(-1)
for (const [value, char] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
].entries()) {
  const reversed = value.toString(2).padStart(6, '0').split('').reverse().join('')
  sextets[char.charCodeAt(0)] = Number.parseInt(reversed, 2)
}
sextets['='.charCodeAt(0)] = 0

class BitReader {
  /** False after a character outside the alphabet. */
  isValid = true
  readonly #base64: string
  #next = 0
  #held = 0
  #heldBits = 0

  constructor(base64: string) {
    this.#base64 = base64
  }

  /** Zeros beyond the end. `count` is below 26: no permitted body has more words than 2^25. */
  read(count: number): number {
    while (this.#heldBits < count) {
      const sextet = sextets[this.#base64.charCodeAt(this.#next)] ?? this.#valueBeyondAscii()
      if (sextet < 0) this.isValid = false
      this.#held |= (sextet & 63) << this.#heldBits
      this.#heldBits += 6
      this.#next += 1
    }
    const value = this.#held & ((1 << count) - 1)
    this.#held >>>= count
    this.#heldBits -= count
    return value
  }

  isAtEnd(): boolean {
    const left = this.#base64.length - this.#next
    return left < 0 || (left === 0 && this.#heldBits === 0)
  }

  #valueBeyondAscii(): number {
    return this.#next < this.#base64.length ? -1 : 0
  }
}

/**
 * The output and its dictionary. Every word is the previous one plus one character, and both lie in
 * the output. So a word is stored as start and length, and no string is built before the end.
 */
class Words {
  /** The width of the next code. */
  codeBits = 3
  readonly #bounds: Bounds
  #chars = new Uint16Array(4096)
  #size = 1
  #starts = new Int32Array(1024)
  #lengths = new Int32Array(1024)
  #count = firstWord + 1
  #untilWider = 4
  #lastStart = 0
  #lastLength = 1

  constructor(first: number, bounds: Bounds) {
    this.#bounds = bounds
    this.#chars[0] = first
    this.#lengths[firstWord] = 1
  }

  appendLiteral(char: number): void {
    const start = this.#size
    this.#ensureCapacity(1)
    this.#chars[start] = char
    this.#size += 1
    this.#add(start, 1)
    this.#follow(start, 1)
  }

  /**
   * False if the code is not a word. The word that is about to be added is a valid code already.
   */
  append(code: number): boolean {
    if (code > this.#count) return false
    const isNext = code === this.#count
    const from = isNext ? this.#lastStart : this.#starts[code]!
    const length = isNext ? this.#lastLength + 1 : this.#lengths[code]!
    const start = this.#size
    this.#ensureCapacity(length)
    // One by one, from the start: the word that is about to be added overlaps the output that it is
    // copied to.
    for (let i = 0; i < length; i += 1) this.#chars[start + i] = this.#chars[from + i]!
    this.#size += length
    this.#follow(start, length)
    return true
  }

  /** Keeps lone surrogates. */
  toText(): string {
    return Buffer.from(this.#chars.buffer, 0, this.#size * 2).toString('utf16le')
  }

  #follow(start: number, length: number): void {
    this.#add(this.#lastStart, this.#lastLength + 1)
    this.#lastStart = start
    this.#lastLength = length
  }

  #add(start: number, length: number): void {
    if (this.#count === this.#starts.length) {
      this.#bounds.ticket.charge(this.#starts.byteLength * 2)
      this.#starts = doubled(this.#starts, new Int32Array(this.#count * 2))
      this.#lengths = doubled(this.#lengths, new Int32Array(this.#count * 2))
    }
    this.#starts[this.#count] = start
    this.#lengths[this.#count] = length
    this.#count += 1
    this.#untilWider -= 1
    if (this.#untilWider > 0) return
    this.#untilWider = 2 ** this.codeBits
    this.codeBits += 1
  }

  #ensureCapacity(more: number): void {
    const size = this.#size + more
    const { bytesMax, ticket } = this.#bounds
    if (size > bytesMax) throw tooLarge(`${bytesMax} bytes once decompressed`)
    if (size <= this.#chars.length) return
    const capacity = Math.max(size, this.#chars.length * 2)
    ticket.charge((capacity - this.#chars.length) * 2)
    this.#chars = doubled(this.#chars, new Uint16Array(capacity))
  }
}

const tooLarge = (limit: string) => new IngestError('body_too_large', `the body exceeds ${limit}`)

function doubled<T extends Uint16Array | Int32Array>(from: T, to: T): T {
  to.set(from)
  return to
}
