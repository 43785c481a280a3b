import { IngestError } from '../../core/errors.ts'
import type { Bounds } from './decompress.ts'

/**
 * What LZString.compressToBase64 packed; undefined where the text is none of its. The library's own
 * decompressor has no bound, and its output may grow with the square of its input, so the decoder is ours.
 * Throws body_too_large and what `grow` throws.
 */
export function decompressLz64(base64: string, bounds: Bounds): string | undefined {
  if (base64.length > packedCharsMax) throw tooLarge(`${packedCharsMax} characters of lz64`)
  const bits = new BitReader(base64)
  const first = bits.read(2)
  if (first === endCode) return ''
  if (first > endCode) return undefined
  const words = new Words(bits.read(literalBits(first)), bounds)
  while (!bits.isSpent()) {
    const code = bits.read(words.codeBits)
    if (code === endCode) return bits.isSound ? words.toText() : undefined
    if (code < endCode) words.appendLiteral(bits.read(literalBits(code)))
    else if (!words.append(code)) return undefined
  }
  return undefined
}

/** A tenth of a second's work. Browsers of old packed URLs and beacons so, which are far smaller. */
const packedCharsMax = 4 * 1024 * 1024

/** Codes 0 and 1 announce a new character of 8 or 16 bits; from 3 on they are words of the dictionary. */
const endCode = 2
const firstWord = 3
const literalBits = (code: number) => (code === 0 ? 8 : 16)

/** The alphabet's values with their six bits reversed: the stream is then read from its low end. */
const sextets = new Int8Array(128).fill(-1)
for (const [value, char] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
].entries()) {
  const reversed = value.toString(2).padStart(6, '0').split('').reverse().join('')
  sextets[char.charCodeAt(0)] = Number.parseInt(reversed, 2)
}
sextets['='.charCodeAt(0)] = 0

class BitReader {
  /** False once a character outside the alphabet was read. */
  isSound = true
  readonly #base64: string
  #next = 0
  #held = 0
  #heldBits = 0

  constructor(base64: string) {
    this.#base64 = base64
  }

  /** Beyond the end come zeros. `count` stays below 26, as no body holds more words than that. */
  read(count: number): number {
    while (this.#heldBits < count) {
      const sextet = sextets[this.#base64.charCodeAt(this.#next)] ?? this.#other()
      if (sextet < 0) this.isSound = false
      this.#held |= (sextet & 63) << this.#heldBits
      this.#heldBits += 6
      this.#next += 1
    }
    const value = this.#held & ((1 << count) - 1)
    this.#held >>>= count
    this.#heldBits -= count
    return value
  }

  isSpent(): boolean {
    const left = this.#base64.length - this.#next
    return left < 0 || (left === 0 && this.#heldBits === 0)
  }

  #other(): number {
    return this.#next < this.#base64.length ? -1 : 0
  }
}

/**
 * The output and its dictionary. Every word is the one before it and one character more, which is a
 * stretch of the output: so a word is two numbers, and no string is built before the end.
 */
class Words {
  /** How wide the next code is. */
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
    this.#makeRoom(1)
    this.#chars[start] = char
    this.#size += 1
    this.#add(start, 1)
    this.#follow(start, 1)
  }

  /** False where the code names no word. The word about to be added may be named already. */
  append(code: number): boolean {
    if (code > this.#count) return false
    const isNext = code === this.#count
    const from = isNext ? this.#lastStart : this.#starts[code]!
    const length = isNext ? this.#lastLength + 1 : this.#lengths[code]!
    const start = this.#size
    this.#makeRoom(length)
    // One by one and forwards: the word that is about to be added reaches into its own copy.
    for (let i = 0; i < length; i += 1) this.#chars[start + i] = this.#chars[from + i]!
    this.#size += length
    this.#follow(start, length)
    return true
  }

  /** Lone surrogates stay as they are. */
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
      this.#bounds.grow(this.#starts.byteLength * 2)
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

  #makeRoom(more: number): void {
    const size = this.#size + more
    const { bytesMax, grow } = this.#bounds
    if (size > bytesMax) throw tooLarge(`${bytesMax} bytes once unpacked`)
    if (size <= this.#chars.length) return
    const room = Math.max(size, this.#chars.length * 2)
    grow((room - this.#chars.length) * 2)
    this.#chars = doubled(this.#chars, new Uint16Array(room))
  }
}

const tooLarge = (limit: string) => new IngestError('body_too_large', `the body exceeds ${limit}`)

function doubled<T extends Uint16Array | Int32Array>(from: T, to: T): T {
  to.set(from)
  return to
}
