import { afterAll, describe, expect, test } from 'bun:test'
import { getPriority } from 'node:os'
import type { Attempt } from '../../../../src/platform/auth/login-delays.ts'
import {
  createPasswordThread,
  createSecrets,
  toDecoyHash,
  type Verifier,
} from '../../../../src/platform/auth/secrets.ts'
import { until } from '../../../support/until.ts'

/** A verifier whose replies the test controls. */
function heldVerifier() {
  const asked: { secret: string; hash: string; answer(ok: boolean): void }[] = []
  const verifier: Verifier = {
    verify(secret, hash) {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      asked.push({ secret, hash, answer: resolve })
      return promise
    },
    close() {},
  }
  return { asked, verifier }
}

const noDelays: Attempt = { sender: '192.0.2.1', check() {}, failed() {}, succeeded() {} }
const from = (sender: string): Attempt => ({ ...noDelays, sender })
const one = (secret: string, hash = 'hash') => [{ secret, hash }]

describe('secrets', () => {
  test('reject a verification only while the queue is full', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, waitingMax: 2 })
    const accepted = ['running', 'a', 'b'].map((secret) => secrets.verify(one(secret), noDelays))
    await expect(secrets.verify(one('c'), noDelays)).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      retryAfterSeconds: 2,
    })
    for (let at = 0; at < 3; at += 1) {
      await until(() => asked.length === at + 1)
      asked[at]!.answer(false)
    }
    expect(await Promise.all(accepted)).toEqual([undefined, undefined, undefined])
    const later = secrets.verify(one('c'), noDelays)
    await until(() => asked.length === 4)
    asked[3]!.answer(true)
    expect(await later).toBe('hash')
  })

  test('take the senders in turn', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier })
    const flood = ['1', '2', '3', '4'].map((secret) => secrets.verify(one(secret), from('flood')))
    const honest = secrets.verify(one('honest'), from('honest'))
    for (let at = 0; at < 5; at += 1) {
      await until(() => asked.length === at + 1)
      asked[at]!.answer(asked[at]!.secret === 'honest')
    }
    expect(asked.map(({ secret }) => secret)).toEqual(['1', '2', 'honest', '3', '4'])
    expect(await honest).toBe('hash')
    await Promise.all(flood)
  })

  test('drop the last of the sender with the most when the queue is full', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, waitingMax: 3 })
    const flood = ['0', '1', '2', '3'].map((secret) =>
      secrets.verify(one(secret), from('flood')).catch(({ code }) => code),
    )
    const honest = secrets.verify(one('honest'), from('honest'))
    expect(await flood[3]).toBe('temporarily_unavailable')
    asked[0]!.answer(false)
    await until(() => asked.length === 2)
    asked[1]!.answer(false)
    await until(() => asked.length === 3)
    expect(asked[2]!.secret).toBe('honest')
    asked[2]!.answer(true)
    expect(await honest).toBe('hash')
  })

  test('count a failure before the next verification of the sender begins', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier })
    let hasFailed = false
    const attempt: Attempt = {
      ...noDelays,
      check() {
        if (hasFailed) throw new Error('wait')
      },
      failed() {
        hasFailed = true
      },
    }
    const outcomes = ['1', '2'].map((secret) =>
      secrets.verify(one(secret), attempt).catch(({ message }) => message),
    )
    asked[0]!.answer(false)
    expect(await Promise.all(outcomes)).toEqual([undefined, 'wait'])
    expect(asked).toHaveLength(1)
  })

  test('return the hash that matched', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier })
    const outcome = secrets.verify([...one('s', 'new'), ...one('s', 'old')], noDelays)
    asked[0]!.answer(false)
    await until(() => asked.length === 2)
    asked[1]!.answer(true)
    expect(await outcome).toBe('old')
    expect(await secrets.verify([...one('s', 'new'), ...one('s', 'old')], noDelays)).toBe('old')
    expect(asked).toHaveLength(2)
  })

  test('are not computed again after a match, but after a mismatch', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier })
    for (const ok of [true, false]) {
      const outcome = secrets.verify(one(`secret-${ok}`), noDelays)
      asked.at(-1)!.answer(ok)
      await outcome
    }
    expect(await secrets.verify(one('secret-true'), noDelays)).toBe('hash')
    expect(asked).toHaveLength(2)
    const again = secrets.verify(one('secret-false'), noDelays)
    asked[2]!.answer(false)
    await again
    void secrets.verify(one('secret-true', 'another hash'), noDelays)
    expect(asked).toHaveLength(4)
  })

  test('are computed once for many concurrent requests with the same secret', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, waitingMax: 1 })
    const fleet = Array.from({ length: 100 }, (_, at) => secrets.verify(one('a'), from(`${at}`)))
    asked[0]!.answer(true)
    expect(new Set(await Promise.all(fleet))).toEqual(new Set(['hash']))
    expect(asked).toHaveLength(1)
  })

  test('forget the oldest match beyond the bound', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, rememberedMax: 2 })
    for (const secret of ['a', 'b', 'c']) {
      const outcome = secrets.verify(one(secret), noDelays)
      asked.at(-1)!.answer(true)
      await outcome
    }
    await secrets.verify(one('c'), noDelays)
    expect(asked).toHaveLength(3)
    void secrets.verify(one('a'), noDelays)
    expect(asked).toHaveLength(4)
  })
})

describe('a decoy hash', () => {
  test('has the parameters of the original, and costs as much', async () => {
    const costs = { algorithm: 'argon2id', memoryCost: 1024, timeCost: 3 } as const
    const hash = await Bun.password.hash('secret', costs)
    const decoy = toDecoyHash(hash)
    expect(decoy).not.toBe(hash)
    expect(decoy).toHaveLength(hash.length)
    expect(decoy.split('$').slice(0, 4)).toEqual(hash.split('$').slice(0, 4))
    // A hash that Bun cannot parse would throw at once.
    expect(await Bun.password.verify('secret', decoy)).toBe(false)
  })
})

describe('the password thread', () => {
  const thread = createPasswordThread()
  afterAll(() => thread.close())

  test('accepts the right secret, and rejects a wrong one and a broken hash', async () => {
    const hash = await Bun.password.hash('secret', {
      algorithm: 'argon2id',
      memoryCost: 8,
      timeCost: 1,
    })
    const outcomes = [
      thread.verify('secret', hash),
      thread.verify('Secret', hash),
      thread.verify('secret', 'no hash'),
    ]
    expect(await Promise.all(outcomes)).toEqual([true, false, false])
  })

  test('does not change the priority of the process', async () => {
    const before = getPriority(0)
    const other = createPasswordThread()
    await other.verify('secret', 'no hash')
    expect(getPriority(0)).toBe(before)
    other.close()
  })
})
