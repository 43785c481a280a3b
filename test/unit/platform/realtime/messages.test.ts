import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { defaultLimits } from '../../../../src/platform/realtime/limits.ts'
import {
  estimateBytes,
  MessageFault,
  parsePublication,
} from '../../../../src/platform/realtime/messages.ts'

describe('estimateBytes', () => {
  test('is near the size as JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (payload) => {
        const bytes = Buffer.byteLength(JSON.stringify(payload))
        const estimated = estimateBytes(payload, { bytesMax: 1e9, depthMax: 200 })
        // The estimate ignores escapes and may count a comma or colon more or less.
        expect(estimated).toBeGreaterThan(bytes / 6 - 8)
        expect(estimated).toBeLessThan(bytes * 2 + 8)
      }),
    )
  })

  test.each([
    ['a string at the bound', 'x'.repeat(98), 100],
    ['a longer string', 'x'.repeat(99), Number.POSITIVE_INFINITY],
    ['two-byte characters beyond the bound', 'é'.repeat(50), Number.POSITIVE_INFINITY],
    ['an attachment beyond the bound', { a: new Uint8Array(100) }, Number.POSITIVE_INFINITY],
    ['a field name beyond the bound', { ['x'.repeat(100)]: 1 }, Number.POSITIVE_INFINITY],
    ['too many entries', Array.from({ length: 101 }, () => 0), Number.POSITIVE_INFINITY],
  ])('of %s (%#)', (_, payload, expected) => {
    expect(estimateBytes(payload, { bytesMax: 100, depthMax: 200 })).toBe(expected)
  })

  test('allows nesting up to the bound and no deeper', () => {
    const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
    const bounds = { bytesMax: 1e6, depthMax: 200 }
    expect(estimateBytes(nested(200), bounds)).toBeLessThan(1e6)
    expect(estimateBytes(nested(201), bounds)).toBe(Number.POSITIVE_INFINITY)
    expect(estimateBytes(nested(50_000), bounds)).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('parsePublication', () => {
  test('returns a message or throws MessageFault, for any input', () => {
    fc.assert(
      fc.property(fc.anything(), (data) => {
        try {
          parsePublication(data, defaultLimits)
        } catch (error) {
          expect(error).toBeInstanceOf(MessageFault)
        }
      }),
    )
  })

  test('rejects a missing payload, and accepts null', () => {
    const parse = (fields: object) =>
      parsePublication({ topic: 'public:a', ...fields }, defaultLimits)
    expect(() => parse({})).toThrow(
      expect.objectContaining({ code: 'invalid_message', message: 'payload is missing' }),
    )
    expect(parse({ payload: null }).payload).toBeNull()
  })
})
