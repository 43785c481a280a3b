import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { covers, coversAll, grantedTo, narrow } from '../../../../src/platform/auth/permissions.ts'
import { alice, page, shop } from '../../../support/auth.ts'

describe('permissions', () => {
  test.each([
    ['private:orders', 'private:orders', true],
    ['private:*', 'private:orders', true],
    ['private:*', 'private:orders:publish', true],
    ['private:orders', 'private:orders:subscribe', true],
    ['private:orders', 'private:orders:publish', true],
    ['private:orders', 'private:orders:eu', false],
    ['private:orders:subscribe', 'private:orders', false],
    ['private:orders:*', 'private:orders:eu', false],
    ['private:*', 'public:news', false],
    ['private:*', 'system:notify', false],
    ['*', 'private:orders', false],
  ])('%s covers %s: %p', (grant, permission, expected) => {
    expect(covers(grant, permission)).toBe(expected)
  })

  test.each([
    ['a scope that is granted', ['private:*'], ['private:a'], ['private:a']],
    ['a scope wider than granted', ['private:a'], ['private:*'], ['private:a']],
    ['a scope that is not granted', ['private:a'], ['private:b'], []],
    ['an empty scope', ['private:a'], [], []],
    [
      'a scope that is partly granted',
      ['public:*', 'private:a'],
      ['public:x', 'private:b', 'private:a:publish'],
      ['public:x', 'private:a:publish'],
    ],
  ])('narrow to %s', (_, granted, asked, expected) => {
    expect(narrow(granted, asked)).toEqual(expected)
  })

  test('are never extended by a scope', () => {
    const name = fc.constantFrom('a', 'b', '*', 'a:subscribe', 'b:publish')
    const permission = fc
      .tuple(fc.constantFrom('public', 'private', 'system'), name)
      .map(([space, rest]) => `${space}:${rest}`)
    fc.assert(
      fc.property(fc.array(permission), fc.array(permission), (granted, asked) => {
        const scope = narrow(granted, asked)
        expect(coversAll(granted, scope)).toBe(true)
        expect(coversAll(asked, scope)).toBe(true)
      }),
    )
  })

  test('are public:* only through a public client, also for a user', () => {
    expect(grantedTo(page, undefined)).toEqual(['public:*'])
    expect(grantedTo(page, alice)).toEqual(['public:*'])
  })

  test("are the user's own through a client with a secret", () => {
    expect(grantedTo(shop, alice)).toEqual(['public:*', 'private:*'])
    expect(grantedTo(shop, undefined)).toEqual(['public:*', ...shop.permissions])
  })
})
