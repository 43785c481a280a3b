/**
 * CityHash128 of version 1.0.2, the checksum of ClickHouse's compressed blocks. Later versions of
 * CityHash give other values. Own code, because no npm package has this version.
 *
 * `bytes` has at least 8 bytes. Returns 16 bytes, the low word first.
 */
export function cityHash128(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const [low, high] = [new Word(), new Word()]
  if (bytes.length >= 16) {
    low.read(view, 0).xor(k3)
    high.read(view, 8)
    hashWithSeed(new DataView(bytes.buffer, bytes.byteOffset + 16, bytes.length - 16), low, high)
  } else {
    low.setNumber(bytes.length).multiply(k0)
    low.xor(temporary.read(view, 0))
    high.read(view, bytes.length - 8).xor(k1)
    hashWithSeed(new DataView(bytes.buffer, bytes.byteOffset, 0), low, high)
  }
  const hash = new DataView(new ArrayBuffer(16))
  low.write(hash, 0)
  high.write(hash, 8)
  return new Uint8Array(hash.buffer)
}

/** A mutable 64-bit word as two halves, because every step of BigInt would allocate. */
class Word {
  low = 0
  high = 0

  constructor(high = 0, low = 0) {
    this.low = low | 0
    this.high = high | 0
  }
  set(other: Word): this {
    this.low = other.low
    this.high = other.high
    return this
  }
  setNumber(value: number): this {
    this.low = value | 0
    this.high = 0
    return this
  }
  read(view: DataView, at: number): this {
    this.low = view.getInt32(at, true)
    this.high = view.getInt32(at + 4, true)
    return this
  }
  write(view: DataView, at: number): void {
    view.setInt32(at, this.low, true)
    view.setInt32(at + 4, this.high, true)
  }
  add(other: Word): this {
    const low = (this.low >>> 0) + (other.low >>> 0)
    this.high = (this.high + other.high + (low > 0xffffffff ? 1 : 0)) | 0
    this.low = low | 0
    return this
  }
  subtract(other: Word): this {
    const low = (this.low >>> 0) - (other.low >>> 0)
    this.high = (this.high - other.high - (low < 0 ? 1 : 0)) | 0
    this.low = low | 0
    return this
  }
  xor(other: Word): this {
    this.low ^= other.low
    this.high ^= other.high
    return this
  }
  /** To the right, by 1 to 63 bits except 32. */
  rotate(bits: number): this {
    const isFar = bits > 32
    const low = isFar ? this.high : this.low
    const high = isFar ? this.low : this.high
    const right = isFar ? bits - 32 : bits
    this.low = (low >>> right) | (high << (32 - right))
    this.high = (high >>> right) | (low << (32 - right))
    return this
  }
  /** Modulo 2^64, by 16-bit halves of the low words. */
  multiply(other: Word): this {
    const a0 = this.low & 0xffff
    const a1 = this.low >>> 16
    const b0 = other.low & 0xffff
    const b1 = other.low >>> 16
    const first = a0 * b0
    const second = a1 * b0 + (first >>> 16)
    const third = a0 * b1 + (second & 0xffff)
    const crossed = Math.imul(this.low, other.high) + Math.imul(this.high, other.low)
    this.high = (a1 * b1 + (second >>> 16) + (third >>> 16) + crossed) | 0
    this.low = (third << 16) | (first & 0xffff)
    return this
  }
  /** `x ^ (x >>> 47)`. */
  mix(): this {
    this.low ^= this.high >>> 15
    return this
  }
}

const k0 = new Word(0xc3a5c85c, 0x97cb3127)
const k1 = new Word(0xb492b66f, 0xbe98f273)
const k2 = new Word(0x9ae16a3b, 0x2f90404f)
const k3 = new Word(0xc949d7c7, 0x509e6557)
const kMul = new Word(0x9ddfea08, 0xeb382d69)
const temporary = new Word()
const other = new Word()
const sum = new Word()

/** Hashes two words into the first one. */
function fold(u: Word, v: Word): Word {
  const inner = sum.set(u).xor(v).multiply(kMul).mix()
  return u.set(v).xor(inner).multiply(kMul).mix().multiply(kMul)
}

/** Replaces the seed (`low`, `high`) by the hash. */
function hashWithSeed(view: DataView, low: Word, high: Word): void {
  if (view.byteLength < 128) murmur(view, low, high)
  else hashLong(view, low, high)
}

function murmur(view: DataView, low: Word, high: Word): void {
  const length = view.byteLength
  const [a, b, c, d] = [new Word().set(low), new Word().set(high), new Word(), new Word()]
  if (length <= 16) {
    a.multiply(k1).mix().multiply(k1)
    c.set(b).multiply(k1).add(hashShort(view))
    d.set(a)
      .add(length >= 8 ? temporary.read(view, 0) : c)
      .mix()
  } else {
    fold(c.read(view, length - 8).add(k1), a)
    d.set(b).add(temporary.setNumber(length))
    fold(d, temporary.read(view, length - 16).add(c))
    a.add(d)
    for (let at = 0; at === 0 || at < length - 16; at += 16) {
      a.xor(temporary.read(view, at).multiply(k1).mix().multiply(k1)).multiply(k1)
      b.xor(a)
      c.xor(
        temporary
          .read(view, at + 8)
          .multiply(k1)
          .mix()
          .multiply(k1),
      ).multiply(k1)
      d.xor(c)
    }
  }
  fold(a, c)
  fold(d, b)
  low.set(a).xor(d)
  high.set(d)
  fold(high, a)
}

/** The hash of at most 16 bytes. */
function hashShort(view: DataView): Word {
  const length = view.byteLength
  const hash = new Word()
  if (length > 8) {
    const last = new Word().read(view, length - 8)
    const rotated = new Word().set(last).add(temporary.setNumber(length)).rotate(length)
    return fold(hash.read(view, 0), rotated).xor(last)
  }
  if (length >= 4) {
    const first = view.getUint32(0, true)
    hash.setNumber(first << 3)
    hash.high = first >>> 29
    hash.add(temporary.setNumber(length))
    return fold(hash, other.setNumber(view.getInt32(length - 4, true)))
  }
  if (length === 0) return hash.set(k2)
  const y = view.getUint8(0) + (view.getUint8(length >> 1) << 8)
  const z = length + (view.getUint8(length - 1) << 2)
  hash.setNumber(y).multiply(k2).xor(temporary.setNumber(z).multiply(k3))
  return hash.mix().multiply(k2)
}

function hashLong(view: DataView, low: Word, high: Word): void {
  const length = view.byteLength
  const x = new Word().set(low)
  const y = new Word().set(high)
  const z = new Word().setNumber(length).multiply(k1)
  const v = [new Word(), new Word()] as const
  const w = [new Word(), new Word()] as const
  v[0].set(y).xor(k1).rotate(49).multiply(k1).add(temporary.read(view, 0))
  v[1].set(v[0]).rotate(42).multiply(k1).add(temporary.read(view, 8))
  w[0].set(y).add(z).rotate(35).multiply(k1).add(x)
  w[1].set(x).add(temporary.read(view, 88)).rotate(53).multiply(k1)

  let at = 0
  // Two rounds of 64 bytes at a time. Each round swaps x and z.
  for (; length - at >= 128; at += 128) {
    hashRound({ view, at, x, y, z, v, w })
    hashRound({ view, at: at + 64, x: z, y, z: x, v, w })
  }
  y.add(temporary.set(w[0]).rotate(37).multiply(k0)).add(z)
  x.add(temporary.set(v[0]).add(z).rotate(49).multiply(k0))
  for (let tail = 32; tail - 32 < length - at; tail += 32) {
    const from = length - tail
    y.subtract(x).rotate(42).multiply(k0).add(v[1])
    w[0].add(temporary.read(view, from + 16))
    x.rotate(49).multiply(k0).add(w[0])
    w[0].add(v[0])
    weakHash(view, from, v)
  }
  fold(x, v[0])
  fold(y, w[0])
  fold(low.set(x).add(v[1]), w[1]).add(y)
  fold(high.set(x).add(w[1]), y.add(v[1]))
}

type Pair = readonly [Word, Word]
type Round = { view: DataView; at: number; x: Word; y: Word; z: Word; v: Pair; w: Pair }

function hashRound({ view, at, x, y, z, v, w }: Round): void {
  x.add(y)
    .add(v[0])
    .add(temporary.read(view, at + 16))
    .rotate(37)
    .multiply(k1)
  y.add(v[1])
    .add(temporary.read(view, at + 48))
    .rotate(42)
    .multiply(k1)
  x.xor(w[1])
  y.xor(v[0])
  z.xor(w[0]).rotate(33)
  v[0].set(v[1]).multiply(k1)
  v[1].set(x).add(w[0])
  weakHash(view, at, v)
  w[0].set(z).add(w[1])
  w[1].set(y)
  weakHash(view, at + 32, w)
}

/** Hashes 32 bytes into the pair, which holds the seeds. */
function weakHash(view: DataView, at: number, [a, b]: Pair): void {
  a.add(temporary.read(view, at))
  b.add(a)
    .add(temporary.read(view, at + 24))
    .rotate(21)
  const before = other.set(a)
  a.add(temporary.read(view, at + 8)).add(temporary.read(view, at + 16))
  b.add(sum.set(a).rotate(44)).add(before)
  a.add(temporary.read(view, at + 24))
}
