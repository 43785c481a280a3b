import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { toTokens } from '../../../../src/embedded/query-api/tokens.ts'

const read = (sql: string) => [...toTokens(sql)].map(({ kind, value }) => `${kind} ${value}`)

describe('toTokens', () => {
  test.each([
    ['SELECT a1, b_2', ['word SELECT', 'word a1', 'mark ,', 'word b_2']],
    ["'it''s' 'a\\'b'", ["string it's", "string a'b"]],
    ['`a\\nb\\xc`', ['quoted a\nbxc']],
    ['"q""r" `a\\`b`', ['quoted q"r', 'quoted a`b']],
    ['a -- b\n/* c\n */ # d\ne', ['word a', 'word e']],
    ["$$it's$$ $tag$ $$ $tag$", ["string $$it's$$", 'string $tag$ $$ $tag$']],
    ['1.5e3 0x1F', ['number 1.5e3', 'number 0x1F']],
    ["'not closed", ['string not closed']],
    ['/* not closed', []],
  ])('splits %s', (sql, expected) => {
    expect(read(sql)).toEqual(expected)
  })

  test('counts the enclosing brackets', () => {
    expect([...toTokens('a(b[c])d')].map(({ depth }) => depth)).toEqual([0, 0, 1, 1, 2, 1, 0, 0])
  })

  test('covers any text in order', () => {
    const part = fc.constantFrom("'", '"', '`', '$$', '--', '/*', '*/', '\\', '\n', '(', 'FORMAT')
    const text = fc.array(fc.oneof(part, fc.string())).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, (sql) => {
        const bounds = [...toTokens(sql)].flatMap(({ start, end }) => [start, end])
        expect(bounds).toEqual(bounds.toSorted((a, b) => a - b))
        expect(bounds.at(-1) ?? 0).toBeLessThanOrEqual(sql.length)
      }),
    )
  })
})
