import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createBucket } from '../../../../src/platform/realtime/bucket.ts'
import { type Action, judge } from '../../../../src/platform/realtime/channels.ts'
import type { Identity } from '../../../../src/platform/realtime/identity.ts'
import { defaultLimits } from '../../../../src/platform/realtime/limits.ts'
import { MessageFault, parsePublication } from '../../../../src/platform/realtime/messages.ts'
import { weigh } from '../../../../src/platform/realtime/payload.ts'
import { recover } from '../../../../src/platform/realtime/recovery.ts'

const who = (permissions: string[], kind: Identity['kind'] = 'user'): Identity => ({
  kind,
  id: 'u1',
  permissions,
  expiresAtMs: 0,
  session: undefined,
})
const [both, none, denied] = [
  ['allowed', 'allowed'],
  ['channel_not_found', 'channel_not_found'],
  ['permission_denied', 'permission_denied'],
]

describe('a channel', () => {
  test.each([
    ['public:news', [], both],
    ['public:a:b', [], both],
    ['private:orders', ['private:orders'], both],
    ['private:orders', ['private:*'], both],
    ['private:orders', ['private:orders:subscribe'], ['allowed', 'permission_denied']],
    ['private:orders', ['private:orders:publish'], ['permission_denied', 'allowed']],
    [
      'private:orders',
      ['private:order', 'private:orders:eu', 'public:*', 'private:orders:*'],
      denied,
    ],
    ['private:orders:subscribe', ['private:orders:subscribe'], none],
    ['private:orders:publish', ['private:*'], none],
    ['user:u1', [], both],
    ['user:u2', ['user:u2', 'private:*'], denied],
    ['system:notifications', [], ['allowed', 'permission_denied']],
    ['system:notifications', ['system:notify'], both],
    ['system:other', ['system:notify'], none],
    ['public:', [], none],
    ['private:', ['private:*'], none],
    ['user:', [], none],
    ['news', [], none],
    [':news', [], none],
    ['', [], none],
    ['Public:news', [], none],
    ['session s1', [], none],
  ])('%s with %p: subscribe and publish are %p', (topic, permissions, expected) => {
    const actions: Action[] = ['subscribe', 'publish']
    expect(actions.map((action) => judge(who(permissions), topic, action))).toEqual(
      expected as never,
    )
  })

  test('of a user is closed to a client of the same id', () => {
    expect(judge(who([], 'client'), 'user:u1', 'subscribe')).toBe('permission_denied')
  })
})

describe('a payload', () => {
  test('weighs about what it takes as JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (payload) => {
        const bytes = Buffer.byteLength(JSON.stringify(payload))
        const weight = weigh(payload, 1e9, 200)
        // Escapes are not looked at, and a comma or colon more or less is counted.
        expect(weight).toBeGreaterThan(bytes / 6 - 8)
        expect(weight).toBeLessThan(bytes * 2 + 8)
      }),
    )
  })

  test.each([
    ['at the bound', 'x'.repeat(98), 100],
    ['beyond it', 'x'.repeat(99), Number.POSITIVE_INFINITY],
    ['of wide characters beyond it', 'é'.repeat(50), Number.POSITIVE_INFINITY],
    ['of bytes beyond it', { a: new Uint8Array(100) }, Number.POSITIVE_INFINITY],
    ['of names beyond it', { ['x'.repeat(100)]: 1 }, Number.POSITIVE_INFINITY],
    ['of very many parts', Array.from({ length: 101 }, () => 0), Number.POSITIVE_INFINITY],
  ])('%s is weighed (%#)', (_, payload, expected) => {
    expect(weigh(payload, 100, 200)).toBe(expected)
  })

  test('may nest to the bound and no deeper', () => {
    const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
    expect(weigh(nested(200), 1e6, 200)).toBeLessThan(1e6)
    expect(weigh(nested(201), 1e6, 200)).toBe(Number.POSITIVE_INFINITY)
    expect(weigh(nested(50_000), 1e6, 200)).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('a publication', () => {
  test('of anything is read or refused, and nothing else', () => {
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

  test('without a payload carries null', () => {
    expect(parsePublication({ topic: 'public:a' }, defaultLimits).payload).toBeNull()
  })
})

describe('a bucket', () => {
  test('lets a burst through, then the rate, and never saves up more than the burst', () => {
    const take = createBucket({ perSecond: 10, burst: 3 })
    const taken = (nowMs: number) => [1, 2, 3, 4].filter(() => take(nowMs)).length
    expect(taken(1000)).toBe(3)
    expect(taken(1050)).toBe(0)
    expect(taken(1100)).toBe(1)
    expect(taken(60_000)).toBe(3)
  })

  test('survives a clock that goes back', () => {
    const take = createBucket({ perSecond: 10, burst: 1 })
    expect(take(10_000)).toBe(true)
    expect(take(5000)).toBe(false)
    expect(take(5100)).toBe(true)
  })
})

describe('a recovered connection', () => {
  const lost = {
    holder: 'user:u1',
    topics: ['public:a', 'private:orders', 'system:notifications', 'session s1', 'sid'],
    packets: [
      ['message', { topic: 'public:a' }, '1-0'],
      ['message', { topic: 'private:orders' }, '2-0'],
      ['notification', { message: 'x' }, '3-0'],
      ['auth_error', {}, '4-0'],
      ['message', null, '5-0'],
    ],
  }

  test('gets back what its holder still may have', () => {
    const { topics, packets } = recover(who([]), lost)
    expect(topics).toEqual(['public:a'])
    expect(packets.map(([, , offset]) => offset)).toEqual(['1-0', '3-0'])
    expect(recover(who(['private:*']), lost).packets).toHaveLength(3)
  })

  test('gets nothing of another holder', () => {
    const nothing = { topics: [], packets: [] }
    expect(recover({ ...who([]), id: 'u2' }, lost)).toEqual(nothing)
    expect(recover(who([], 'client'), lost)).toEqual(nothing)
    expect(recover(who([]), undefined)).toEqual(nothing)
  })
})
