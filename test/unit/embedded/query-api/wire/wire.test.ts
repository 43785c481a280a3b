import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { cityHash128 } from '../../../../../src/embedded/query-api/wire/city-hash.ts'
import {
  createBlockDecompression,
  toCompressedBlocks,
} from '../../../../../src/embedded/query-api/wire/compressed-blocks.ts'
import { createNativeRewriter } from '../../../../../src/embedded/query-api/wire/native-blocks.ts'

describe('cityHash128', () => {
  // From github.com/go-faster/city 1.0.1, which clickhouse-go uses.
  test.each([
    [9, '716a3f7b04ba9554f083c7928f756db2'],
    [15, '014d3b4ce7239d5599b1b47d985da161'],
    [16, '5370aaaa12ce562b7cfda9f03676d386'],
    [24, '8f2049aaddc74da9724cad3ae9b1f64e'],
    [40, '949631aba25ec131ae21e9b0711496af'],
    [143, 'f320a95871a67f91db8383fa31672bc7'],
    [144, '654ed0e62d9132aae1870e810110ae00'],
    [300, 'bd2d844489e75995ad8a0362efc7fbd7'],
    [699, 'c7362ba3c52a42003b111515bbd818d5'],
  ])('has the value of the Go driver for %i bytes', (length, hash) => {
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 7 + length * 13) ^ (at >> 3))
    expect(Buffer.from(cityHash128(bytes)).toString('hex')).toBe(hash)
  })
})

/** Sends `bytes` in chunks of `chunkBytes`. */
async function decompress(bytes: Uint8Array, chunkBytes: number): Promise<Buffer> {
  const chunks = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += chunkBytes)
        controller.enqueue(bytes.subarray(at, at + chunkBytes))
      controller.close()
    },
  })
  const plain: Uint8Array[] = []
  for await (const chunk of chunks.pipeThrough(createBlockDecompression())) plain.push(chunk)
  return Buffer.concat(plain)
}

describe('compressed blocks', () => {
  const part = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(Buffer.from('abcabcabc')))
  const texts = fc.array(part, { maxLength: 40 }).map((parts) => Buffer.concat(parts))

  test('return what was compressed, in chunks of any size', async () => {
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 4000 }), async (plain, chunkBytes) => {
        const restored = await decompress(toCompressedBlocks(plain), chunkBytes)
        expect(restored.equals(plain)).toBe(true)
      }),
    )
  })

  test('split large input, and compress it', async () => {
    const plain = Buffer.from('{"event":"signed_up"}\n'.repeat(200_000))
    const packed = toCompressedBlocks(plain)
    expect(packed.length).toBeLessThan(plain.length / 20)
    expect((await decompress(packed, 65_536)).equals(plain)).toBe(true)
  })

  test('are refused with one bit changed, or cut off', async () => {
    const packed = toCompressedBlocks(Buffer.from('abc'.repeat(100)))
    for (let at = 0; at < packed.length; at += 1) {
      const damaged = Buffer.from(packed)
      damaged[at]! ^= 1
      await expect(decompress(damaged, 100)).rejects.toThrow('CANNOT_DECOMPRESS')
    }
    await expect(decompress(packed.subarray(0, -1), 10)).rejects.toThrow('cut off')
  })
})

describe('the rewriter of Native', () => {
  const text = (value: string) => [value.length, ...Buffer.from(value)]
  const info = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0]
  const u64 = (value: number) => [value, 0, 0, 0, 0, 0, 0, 0]
  const columns: [string, number[]][] = [
    ['UInt16', [1, 0, 2, 0]],
    ['String', [...text('x'), ...text('yz')]],
    ['Nullable(Int32)', [0, 1, 7, 0, 0, 0, 0, 0, 0, 0]],
    ['Array(String)', [...u64(0), ...u64(1), ...text('a')]],
    ['Tuple(a UInt8, `b c` String)', [1, 2, ...text(''), ...text('q')]],
    ['Map(String, UInt8)', [...u64(1), ...u64(1), ...text('k'), 5]],
    ["Enum8('a,b)' = 1)", [1, 1]],
    ['Decimal(18, 2)', [...u64(1), ...u64(2)]],
    [
      'LowCardinality(String)',
      [...u64(1), 0, 6, 0, 0, 0, 0, 0, 0, ...u64(1), ...text('v'), ...u64(2), 0, 0],
    ],
    ['Variant(String, UInt8)', [...u64(0), 1, 255, 9]],
    ['Point', Array(32).fill(1)],
  ]
  const toBlock = (marks: number[], serialization: number[]) => [
    ...marks,
    columns.length,
    2,
    ...columns.flatMap(([type, data]) => [...text('n'), ...text(type), ...serialization, ...data]),
  ]
  const old = [...toBlock([], []), ...toBlock([], [])]

  test.each([
    [54_405, []],
    [54_460, [0]],
  ])('adds the fields of revision %i, in chunks of any size', (revision, serialization) => {
    const expected = [...toBlock(info, serialization), ...toBlock(info, serialization)]
    for (const size of [1, 2, 7, old.length]) {
      const rewriter = createNativeRewriter(revision)
      const parts: Uint8Array[] = []
      for (let at = 0; at < old.length; at += size)
        parts.push(rewriter.push(Uint8Array.from(old.slice(at, at + size))))
      expect([...Buffer.concat(parts)]).toEqual(expected)
    }
  })

  test('refuses a type whose end it cannot find', () => {
    const block = Uint8Array.from([1, 1, ...text('n'), ...text('JSON'), 0])
    expect(() => createNativeRewriter(54_460).push(block)).toThrow('NOT_IMPLEMENTED')
  })
})
