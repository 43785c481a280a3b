import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { scrubJson, scrubWarnings } from '../../../../src/ingest/privacy/scrub.ts'

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

  test.each([
    ['by escapes', '{"em\\u0061il":"x","a":1}', '{"a":1}'],
    ['twice', '{"email":1,"a":2,"email":3}', '{"a":2}'],
    ['between others', '{"a":1,"email":2,"email":3,"b":4,"email":5}', '{"a":1,"b":4}'],
    ['with white space', '{ "email" : [ "}" , {} ] , "a" : [ ] , "email":1 }', '{ "a" : [ ] }'],
    ['first of several', '{"email":{"email":1},"nä\\"me":2,"a":{"email":1}}', '{"a":{}}'],
  ])('a name that is written %s', (_, text, expected) => {
    expect(scrubJson(text, rules)).toBe(expected)
    expect(JSON.parse(scrubJson(text, rules))).toEqual(JSON.parse(expected))
  })

  test('objects of a client that look like a warning stay as they are', () => {
    const text = '{"email":1,"filter":{"field":"price","kind":"range","value":"[1,2]"}}'
    const expected = '{"filter":{"field":"price","kind":"range","value":"[1,2]"}}'
    expect(scrubJson(text, rules)).toBe(expected)
    const own = '{"$ingest_warnings":[{"field":"price","value":"{"}]}'
    expect(scrubJson(own, rules)).toBe(own)
  })

  test('of the column of warnings what they quote', () => {
    const text = '[{"kind":"k","field":"email","value":"x"},{"kind":"k","field":"a","value":"b"}]'
    expect(scrubWarnings(text, rules)).toBe(text.replace('"x"', '""'))
    expect(scrubWarnings('[]', rules)).toBe('[]')
  })

  test('any names are removed and any others stay, in their order', () => {
    const name = fc.constantFrom('email', 'a', 'b', '0', '__proto__', '')
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(fc.integer(), fc.string(), fc.constant(null)),
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.array(fc.tuple(name, tie('tree')), { maxLength: 5 }).map((list) => new Map(list as [])),
      ),
    }))
    const write = (value: unknown, isKept: (name: string) => boolean): string => {
      if (Array.isArray(value)) return `[${value.map((one) => write(one, isKept)).join(',')}]`
      if (!(value instanceof Map)) return JSON.stringify(value)
      const members = [...value].filter(([key]) => isKept(key))
      const texts = members.map(([key, one]) => `${JSON.stringify(key)}:${write(one, isKept)}`)
      return `{${texts.join(',')}}`
    }
    const free = { ip: 'keep', dropped: new Set(['email', 'b', '__proto__']) } as const
    fc.assert(
      fc.property(tree, (value) => {
        const text = write(value, () => true)
        expect(scrubJson(text, free)).toBe(write(value, (key) => !free.dropped.has(key)))
      }),
    )
  })
})
