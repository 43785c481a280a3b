import { describe, expect, test } from 'bun:test'
import { type Account, createLoginDelays } from '../../../../src/platform/auth/login-delays.ts'

const user: Account = { name: 'user ada', failuresFree: 2, delaySecondsMax: 300 }

function start(entriesMax?: number) {
  const clock = { nowMs: 1_000_000 }
  const delays = createLoginDelays({
    now: () => clock.nowMs,
    ...(entriesMax === undefined ? {} : { entriesMax }),
  })
  /** Seconds until the next attempt; 0: at once. */
  const waitOf = (sender: string, accounts = [user]) => {
    try {
      delays.attempt(sender, accounts).check()
      return 0
    } catch (error) {
      return (error as { retryAfterSeconds: number }).retryAfterSeconds
    }
  }
  const fail = (sender: string, accounts = [user]) => delays.attempt(sender, accounts).failed()
  return { clock, delays, waitOf, fail }
}

describe('delays after failed logins', () => {
  test('grow with the failures of a sender up to their bound, and end', () => {
    const { clock, waitOf, fail } = start()
    const waits = Array.from({ length: 14 }, () => {
      fail('a')
      const seconds = waitOf('a')
      clock.nowMs += seconds * 1000
      expect(waitOf('a')).toBe(0)
      return seconds
    })
    expect(waits).toEqual([0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
  })

  test('hold up no other sender, however many failures an account has', () => {
    const { waitOf, fail } = start()
    for (let at = 0; at < 10_000; at += 1) fail(`attacker ${at}`)
    expect(waitOf('owner')).toBe(0)
  })

  test('begin with the first failure of a sender when many senders attack one account', () => {
    const { waitOf, fail } = start()
    for (let at = 0; at < 1000; at += 1) fail(`attacker ${at}`)
    fail('b')
    expect(waitOf('b')).toBeGreaterThanOrEqual(16)
    expect(waitOf('b', [{ ...user, name: 'user bob' }])).toBe(0)
  })

  test('count for every account of an attempt', () => {
    const { waitOf, fail } = start()
    const client = { ...user, name: 'logins shop' }
    for (const name of ['ada', 'bob', 'eve', 'joe']) fail('a', [{ ...user, name }, client])
    expect(waitOf('a', [{ ...user, name: 'zoe' }, client])).toBe(2)
    expect(waitOf('b', [{ ...user, name: 'zoe' }, client])).toBe(0)
  })

  test('are forgotten after a success, and an hour after the last failure', () => {
    const { clock, delays, waitOf, fail } = start()
    for (let at = 0; at < 6; at += 1) fail('a')
    delays.attempt('a', [user]).succeeded()
    expect(waitOf('a')).toBe(0)
    for (let at = 0; at < 6; at += 1) fail('b')
    clock.nowMs += 3_600_000
    fail('b')
    expect(waitOf('b')).toBe(0)
  })

  test('are kept for a bounded number of senders', () => {
    const { waitOf, fail } = start(2)
    for (const sender of ['a', 'b', 'c']) for (let at = 0; at < 3; at += 1) fail(sender)
    expect(['a', 'b', 'c'].map((sender) => waitOf(sender))).toEqual([0, 1, 1])
  })
})
