import { expect, test } from 'bun:test'
import zlib from 'node:zlib'
import { codeOf, decode } from './sent.ts'

const kib = 1024
/** JSON of exactly so many bytes: hard or easy to compress. */
const hard = (bytes: number) => JSON.stringify('x'.repeat(bytes - 2).replace(/x/g, toHexDigit))
const easy = (bytes: number) => JSON.stringify('x'.repeat(bytes - 2))
let seed = 1
const toHexDigit = () => {
  seed = (seed * 1103515245 + 12345) % 2 ** 31
  return ((seed >> 16) & 15).toString(16)
}
const sizes = [2, 3, 1022, 1023, 1024, 1025, 64 * kib - 1, 64 * kib, 64 * kib + 1, 1024 * kib]

test.each(sizes)(
  'decompresses gzip of %i bytes, whether it compresses well or not',
  async (bytes) => {
    for (const text of [hard(bytes), easy(bytes)]) {
      const { value, decodedBytes } = await decode({ body: zlib.gzipSync(text) })
      expect({ value, decodedBytes }).toEqual({ value: JSON.parse(text), decodedBytes: bytes })
    }
  },
)

test('decompresses members of any size as one, whatever size the last one states', async () => {
  const parts = ['"', 'a'.repeat(5), 'b'.repeat(3 * kib), '', 'c'.repeat(100 * kib), 'd"']
  const body = Buffer.concat(parts.map((part) => zlib.gzipSync(part)))
  expect((await decode({ body })).value).toBe(JSON.parse(parts.join('')))
})

test.each([0, 1, 500 * kib, 2 ** 32 - 1])(
  'refuses a wrong length of %i in the trailer',
  async (stated) => {
    const body = zlib.gzipSync(easy(3000))
    body.writeUInt32LE(stated, body.length - 4)
    expect(await codeOf({ body })).toBe('invalid_encoding')
  },
)

test('allows zeros after the last member, and nothing else', async () => {
  const followedBy = (rest: Buffer) => ({ body: Buffer.concat([zlib.gzipSync(easy(3000)), rest]) })
  expect((await decode(followedBy(Buffer.alloc(9)))).decodedBytes).toBe(3000)
  for (const rest of [Buffer.alloc(9, 0xff), Buffer.from('more')])
    expect(await codeOf(followedBy(rest))).toBe('invalid_encoding')
})

test('refuses a truncated body, wherever the cut is', async () => {
  const whole = zlib.gzipSync(hard(300))
  for (let length = 3; length < whole.length; length += 1)
    expect(await codeOf({ body: whole.subarray(0, length) })).toBe('invalid_encoding')
})
