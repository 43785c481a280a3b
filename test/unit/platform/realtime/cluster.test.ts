import { describe, expect, test } from 'bun:test'
import type { AccessIdentity } from '../../../../src/platform/realtime/channels.ts'
import { recover } from '../../../../src/platform/realtime/cluster.ts'

const identity = (permissions: string[]): AccessIdentity => ({
  kind: 'user',
  id: 'u1',
  permissions,
})

describe('the recovery of a lost connection', () => {
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

  test('restores the topics and packets that the holder is still allowed', () => {
    const { topics, packets } = recover(identity([]), lost)
    expect(topics).toEqual(['public:a'])
    expect(packets.map(([, , offset]) => offset)).toEqual(['1-0', '3-0'])
    expect(recover(identity(['private:*']), lost).packets).toHaveLength(3)
  })

  test('restores nothing for another holder', () => {
    const nothing = { topics: [], packets: [] }
    expect(recover({ ...identity([]), id: 'u2' }, lost)).toEqual(nothing)
    expect(recover({ ...identity([]), kind: 'client' }, lost)).toEqual(nothing)
    expect(recover(identity([]), undefined)).toEqual(nothing)
  })
})
