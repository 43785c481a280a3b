import { describe, expect, test } from 'bun:test'
import {
  type AccessIdentity,
  type Action,
  checkAccess,
} from '../../../../src/platform/realtime/channels.ts'

const identity = (
  permissions: string[],
  kind: AccessIdentity['kind'] = 'user',
): AccessIdentity => ({ kind, id: 'u1', permissions })

const [both, none, denied] = [
  ['allowed', 'allowed'],
  ['channel_not_found', 'channel_not_found'],
  ['permission_denied', 'permission_denied'],
]

describe('checkAccess', () => {
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
    expect(actions.map((action) => checkAccess(identity(permissions), topic, action))).toEqual(
      expected as never,
    )
  })

  test('denies the channel of a user to a client of the same id', () => {
    expect(checkAccess(identity([], 'client'), 'user:u1', 'subscribe')).toBe('permission_denied')
  })
})
