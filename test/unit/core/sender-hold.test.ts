import { expect, test } from 'bun:test'
import { createSenderHold } from '../../../src/core/sender-hold.ts'

test('holds back an address for ten seconds, and no other', () => {
  const hold = createSenderHold()
  expect(hold.waitSeconds('192.0.2.1', 1000)).toBe(0)
  hold.hold('192.0.2.1', 1000)
  expect(hold.waitSeconds('192.0.2.1', 1000)).toBe(10)
  expect(hold.waitSeconds('192.0.2.2', 1000)).toBe(0)
  expect(hold.waitSeconds('192.0.2.1', 10_999)).toBe(1)
  expect(hold.waitSeconds('192.0.2.1', 11_000)).toBe(0)
})

test('holds back all addresses of an IPv6 /64', () => {
  const hold = createSenderHold()
  hold.hold('2001:db8:0:1::a', 0)
  expect(hold.waitSeconds('2001:db8:0:1:ffff::b', 0)).toBe(10)
  expect(hold.waitSeconds('2001:db8:0:1::/64', 0)).toBe(10)
  expect(hold.waitSeconds('2001:db8:0:2::a', 0)).toBe(0)
})
