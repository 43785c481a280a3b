import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import lz from 'lz-string'
import { decompressLz64 } from '../../../../src/ingest/decode/lz64.ts'

const open = (base64: string, bytesMax = 1_000_000) =>
  decompressLz64(base64, { bytesMax, ticket: { charge() {} } })

const sum = (numbers: readonly number[]) => numbers.reduce((total, more) => total + more, 0)

describe('lz64', () => {
  test.each([
    ['nothing', ''],
    ['one character', 'a'],
    ['a run whose code is the word that is about to be added', 'a'.repeat(1000)],
    ['pairs', 'ab'.repeat(500)],
    ['characters beyond 8 bits', '事件上报 🎉'.repeat(20)],
    ['lone surrogates and NUL', '\ud800\u0000\udc00\ud83d'],
    ['every 16-bit character once', String.fromCharCode(...Array(65536).keys())],
  ])('decompresses %s', (_, text) => {
    expect(open(lz.compressToBase64(text))).toBe(text)
  })

  test('decompresses whatever the library compresses', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 2000 }),
      fc.string({ unit: fc.constantFrom('a', 'b', '"', '事'), maxLength: 5000 }),
    )
    fc.assert(fc.property(text, (sent) => open(lz.compressToBase64(sent)) === sent))
  })

  test('agrees with the library about any base64, except for an invalid first code', () => {
    const sent = fc
      .base64String({ minLength: 4, maxLength: 400 })
      .filter((base64) => !/^[w-z0-9+/]/.test(base64))
    const agrees = (base64: string) => {
      const theirs = lz.decompressFromBase64(base64)
      return (open(base64) ?? '') === (theirs || '')
    }
    fc.assert(fc.property(sent, agrees), { numRuns: 2000 })
  })

  test('stops at the limit, and not one character before', () => {
    const packed = lz.compressToBase64('a'.repeat(5000))
    expect(open(packed, 5000)).toHaveLength(5000)
    expect(() => open(packed, 4999)).toThrow('4999 bytes once decompressed')
  })

  test('charges at most what the limit allows, whatever a bomb would decompress to', () => {
    const packed = lz.compressToBase64('a'.repeat(300_000))
    const charged: number[] = []
    const ticket = { charge: (bytes: number) => void charged.push(bytes) }
    const bounds = { bytesMax: 100_000, ticket }
    expect(() => decompressLz64(packed, bounds)).toThrow('100000 bytes')
    expect(sum(charged)).toBeLessThan(400_000)
  })

  test('refuses compressed text beyond 4 MiB without reading it', () => {
    expect(() => open('A'.repeat(4 * 1024 * 1024 + 1))).toThrow('characters of lz64')
  })

  test.each(['hello world!', '{"event":"x"}', 'N4Ig*', 'é'])('rejects %s', (text) => {
    expect(open(text)).toBeUndefined()
  })
})
