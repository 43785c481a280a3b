import { describe, expect, test } from 'bun:test'
import zlib from 'node:zlib'
import lz from 'lz-string'
import { IngestError } from '../../../../src/core/errors.ts'
import { decodeSmallBody } from '../../../../src/ingest/decode/body.ts'
import { base64, capture, codeOf, decode, form, formType, gzip, json, type Sent } from './sent.ts'

describe('refuses', () => {
  const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
  const bomb = Buffer.alloc(capture.bodyBytesMax + 1, ' ')
  const oneByteMore = { body: `[${' '.repeat(capture.bodyBytesMax - 1)}]` }
  test.each<[string, string, Sent]>([
    ['empty_body', 'no body', {}],
    ['empty_body', 'white space', { body: ' \n' }],
    ['empty_body', 'an empty field', { body: 'data=', type: formType }],
    ['empty_body', 'an empty file in gzip', { body: zlib.gzipSync('') }],
    ['invalid_encoding', 'gzip cut short', { body: gzip.subarray(0, 30) }],
    ['invalid_encoding', 'gzip with a flipped bit', { body: flipped(gzip) }],
    ['invalid_encoding', 'a gzip header alone', { body: gzip.subarray(0, 3) }],
    ['invalid_encoding', 'no deflate', { body: 'hello', encoding: 'deflate' }],
    ['invalid_encoding', 'no brotli', { body: 'hello', encoding: 'br' }],
    ['invalid_encoding', 'no zstd', { body: 'hello', encoding: 'zstd' }],
    ['invalid_encoding', 'a body wrapped seven times', { body: wrapped(7) }],
    ['invalid_json', 'half a document', { body: json.slice(0, -1) }],
    ['invalid_json', 'two documents', { body: json + json }],
    ['invalid_json', 'a word', { body: 'hello' }],
    ['invalid_json', 'UTF-16', { body: Buffer.from(`\ufeff${json}`, 'utf16le') }],
    ['invalid_json', 'random bytes', { body: Uint8Array.of(0, 255, 254) }],
    ['invalid_json', 'a form that holds none', { body: form('hello there'), type: formType }],
    ['nesting_too_deep', '201 levels', { body: nested(201) }],
    ['nesting_too_deep', '1,000,000 levels', { body: nested(1_000_000) }],
    ['nesting_too_deep', '1,000,000 levels in 2 KB', { body: zlib.gzipSync(nested(1_000_000)) }],
    ['body_too_large', 'one byte more', oneByteMore],
    ['body_too_large', 'a gzip bomb', { body: zlib.gzipSync(bomb) }],
    ['body_too_large', 'a deflate bomb', { body: zlib.deflateSync(bomb), encoding: 'deflate' }],
    [
      'body_too_large',
      'a raw deflate bomb',
      { body: zlib.deflateRawSync(bomb), encoding: 'deflate' },
    ],
    ['body_too_large', 'a brotli bomb', { body: zlib.brotliCompressSync(bomb), encoding: 'br' }],
    ['body_too_large', 'a zstd bomb', { body: zlib.zstdCompressSync(bomb), encoding: 'zstd' }],
    [
      'body_too_large',
      'a gzip bomb in a form',
      { body: form(zlib.gzipSync(bomb).toString('base64')) },
    ],
    ['body_too_large', 'a bomb in gzip twice', { body: zlib.gzipSync(zlib.gzipSync(bomb)) }],
    ['body_too_large', 'a lz64 bomb', { body: lz64Bomb(), query: 'compression=lz64' }],
  ])('with %s: %s', async (code, _, sent) => {
    expect(await codeOf(sent)).toBe(code)
  })

  test('nothing that is just within the limits', async () => {
    expect(await codeOf({ body: nested(200) })).toBe('accepted')
    const body = `[${' '.repeat(capture.bodyBytesMax - 2)}]`
    expect(await codeOf({ body })).toBe('accepted')
    for (const wrap of [zlib.gzipSync, zlib.deflateSync, zlib.deflateRawSync]) {
      expect(await codeOf({ body: wrap(body), encoding: 'deflate' })).toBe('accepted')
    }
    expect(await codeOf({ body: zlib.brotliCompressSync(body), encoding: 'br' })).toBe('accepted')
    expect(await codeOf({ body: zlib.zstdCompressSync(body), encoding: 'zstd' })).toBe('accepted')
    expect(await codeOf({ body: wrapped(5) })).toBe('accepted')
  })

  test('without quoting a body at length', () => {
    expect(() => decode({ body: 'a'.repeat(10_000) })).toThrow(/^.{1,200}$/)
  })
})

function wrapped(times: number): Uint8Array {
  let body: Uint8Array = Buffer.from(json)
  for (let i = 0; i < times; i += 1) body = zlib.gzipSync(body)
  return body
}

function flipped(bytes: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[20] = changed[20]! ^ 0xff
  return changed
}

const lz64Bomb = () => lz.compressToBase64('a'.repeat(capture.bodyBytesMax + 1))

/** Estimate for an array of strings: its text six times, the array and its strings. */
const estimateBytes = (text: string) =>
  6 * text.length + 64 + 24 * (JSON.parse(text) as string[]).length

describe('memory', () => {
  const large = JSON.stringify(Array.from({ length: 40_000 }, (_, i) => `item ${i} ${i * 7919}`))
  const bytes = Buffer.byteLength(large)

  test.each<[string, Sent]>([
    ['plain JSON', { body: large }],
    ['the output of gzip', { body: zlib.gzipSync(large) }],
    ['the value of a form', { body: form(large) }],
    ['the bytes of base64', { body: Buffer.from(large).toString('base64') }],
  ])('is charged for all work on %s', async (_, sent) => {
    const charged: number[] = []
    await decode({ ...sent, charge: (more) => charged.push(more) })
    expect(charged).toEqual([estimateBytes(large)])
  })

  test('is charged for a body of medium size and each layer of it', async () => {
    const medium = JSON.stringify({ text: 'x'.repeat(100_000) })
    const charged: number[] = []
    await decode({ body: zlib.gzipSync(medium), charge: (more) => charged.push(more) })
    expect(charged).toEqual([medium.length, 6 * medium.length, 64 + 2 * 24])
  })

  test.each([
    ['objects', '{}', 1024 * 1024 * 5],
    ['arrays', '[]', 1024 * 1024 * 5],
    ['strings', '""', 1024 * 1024 * 12],
  ])('limits the number of %s', async (_, item, count) => {
    const body = `[${`${item},`.repeat(count)}0]`
    const rules = { ...capture, bodyBytesMax: body.length }
    expect(await codeOf({ body, rules })).toBe('body_too_large')
  })

  test.each<[string, Sent]>([
    ['small gzip', { body: gzip }],
    ['large gzip', { body: zlib.gzipSync(large) }],
    ['base64', { body: base64 }],
    ['lz64', { body: lz.compressToBase64(large), query: 'compression=lz64' }],
    ['plain JSON', { body: json }],
  ])('that is used up refuses %s', async (_, sent) => {
    const full = new IngestError('too_busy', 'no memory')
    const charge = () => {
      throw full
    }
    expect(await codeOf({ ...sent, charge })).toBe('too_busy')
  })

  test('for the work on a large body may have to be waited for', async () => {
    const capacity = Promise.withResolvers<void>()
    const asked: number[] = []
    const reserveWork = (bytes: number) => {
      asked.push(bytes)
      return capacity.promise
    }
    let isDecoded = false
    const decoding = Promise.resolve(decode({ body: large, reserveWork })).then((body) => {
      isDecoded = true
      return body
    })
    await Promise.resolve()
    expect({ asked, isDecoded }).toEqual({ asked: [estimateBytes(large)], isDecoded: false })
    capacity.resolve()
    expect(await decoding).toEqual({ value: JSON.parse(large), decodedBytes: bytes })
  })

  test('is never waited for by small bodies', () => {
    const reserveWork = () => Promise.reject(new Error('reserved'))
    expect(decode({ body: json, reserveWork })).toMatchObject({
      decodedBytes: Buffer.byteLength(json),
    })
  })

  test('on the serving thread is bounded: a bomb is left to the body thread', () => {
    const rules = { ...capture, bodyBytesMax: 20 * 1024 * 1024 }
    const request = { method: 'POST', query: new URLSearchParams('compression=lz64') }
    for (const body of [zlib.gzipSync(Buffer.alloc(20 * 1024 * 1024)), Buffer.from(lz64Bomb())]) {
      let charged = 0
      const charge = (more: number) => {
        charged += more
      }
      const ticket = { charge, reserveWork: () => undefined }
      const input = { request: { ...request, headers: new Headers() }, body, rules, ticket }
      expect(decodeSmallBody(input)).toBeUndefined()
      expect(charged).toBeLessThan(1024 * 1024)
    }
  })
})
