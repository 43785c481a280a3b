import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { scrubJson, scrubValue } from '../../../../src/ingest/privacy/scrub.ts'

const rules = { ip: 'truncate', dropped: new Set(['email', 'nä"me', '0']) } as const

describe('what the rules remove', () => {
  test.each([
    ['a property', '{"a":1,"email":"x"}', '{"a":1}'],
    [
      'at every depth',
      '{"$set":{"email":"x","b":[{"email":1,"c":2}]}}',
      '{"$set":{"b":[{"c":2}]}}',
    ],
    ['objects under the name', '{"email":{"a":1}}', '{}'],
    ['a name with quotes', JSON.stringify({ 'nä"me': 1, b: 2 }), '{"b":2}'],
    ['a name that looks like an index', '{"0":1,"list":["kept"]}', '{"list":["kept"]}'],
    ['nothing else', '{"emails":"email","a":"email"}', '{"emails":"email","a":"email"}'],
    [
      'of numbers nothing',
      '{"email":1,"n":12345678901234567890,"d":2.50}',
      '{"n":12345678901234567890,"d":2.50}',
    ],
    ['of odd keys nothing', '{"__proto__":1,"":2,"email":3}', '{"__proto__":1,"":2}'],
    ['of $ip the host', '{"$ip":"203.0.113.77"}', '{"$ip":"203.0.113.0"}'],
    ['a $ip that is no address', '{"$ip":"home"}', '{}'],
    [
      'of ip only addresses',
      '{"ip":"a shop","ip_address":"::ffff:1.2.3.4"}',
      '{"ip":"a shop","ip_address":"1.2.3.0"}',
    ],
    [
      'what a warning quotes',
      '{"$ingest_warnings":[{"kind":"k","field":"email","value":"x"},{"kind":"k","field":"$set","value":"{\\"email\\":1"},{"kind":"k","field":"a","value":"b"}],"email":1}',
      '{"$ingest_warnings":[{"kind":"k","field":"email","value":""},{"kind":"k","field":"$set","value":""},{"kind":"k","field":"a","value":"b"}]}',
    ],
  ])('%s', (_, text, expected) => {
    expect(scrubJson(text, rules)).toBe(expected)
  })

  test('without a rule for addresses they stay', () => {
    const text = '{"$ip":"203.0.113.77","email":1}'
    const kept = { ip: 'keep', dropped: rules.dropped } as const
    expect(scrubJson(text, kept)).toBe('{"$ip":"203.0.113.77"}')
  })

  test('dropped addresses leave no name behind', () => {
    expect(scrubJson('{"$ip":"203.0.113.77","ip":"::1"}', { ...rules, ip: 'drop' })).toBe('{}')
  })

  test('any other JSON is written as it was', () => {
    const free = { ip: 'drop', dropped: new Set(['email']) } as const
    fc.assert(
      fc.property(fc.json(), (json) => {
        const text = JSON.stringify({ email: 1, rest: JSON.parse(json) })
        const expected = JSON.stringify({ rest: JSON.parse(json) })
        expect(scrubJson(text, free)).toBe(expected)
      }),
    )
  })

  test('of a parsed value gives a copy', () => {
    const raw = { properties: { email: 'x', a: [1] } }
    expect(scrubValue(raw, rules)).toEqual({ properties: { a: [1] } })
    expect(raw.properties.email).toBe('x')
    expect(scrubValue(undefined, rules)).toBeUndefined()
    expect(scrubValue('email', rules)).toBe('email')
  })
})
