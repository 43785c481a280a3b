import { afterAll, describe, expect, test } from 'bun:test'
import { getPriority } from 'node:os'
import {
  createPasswordThread,
  createSecrets,
  type Verifier,
} from '../../../../src/platform/auth/secrets.ts'

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

describe('secrets', () => {
  test('reject a verification only while the queue is full', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, waitingMax: 2 })
    const first = secrets.verify('a', 'hash')
    const second = secrets.verify('b', 'hash')
    await expect(secrets.verify('c', 'hash')).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      retryAfterSeconds: 2,
    })
    for (const { answer } of asked) answer(false)
    expect(await Promise.all([first, second])).toEqual([false, false])
    const later = secrets.verify('c', 'hash')
    asked[2]!.answer(true)
    expect(await later).toBe(true)
  })

  test('compare a dummy hash for an unknown name, at the same cost', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier })
    const outcome = secrets.verify('guess', undefined)
    expect(asked[0]!.hash).toStartWith('$argon2id$v=19$m=65536,t=2,p=1$')
    asked[0]!.answer(false)
    expect(await outcome).toBe(false)
  })

  test('are not computed again after a match, but after a mismatch', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier })
    for (const ok of [true, false]) {
      const outcome = secrets.verify(`secret-${ok}`, 'hash')
      asked.at(-1)!.answer(ok)
      await outcome
    }
    expect(await secrets.verify('secret-true', 'hash')).toBe(true)
    expect(asked).toHaveLength(2)
    void secrets.verify('secret-false', 'hash')
    void secrets.verify('secret-true', 'another hash')
    expect(asked).toHaveLength(4)
  })

  test('are computed once for many concurrent requests with the same secret', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, waitingMax: 1 })
    const fleet = Array.from({ length: 100 }, () => secrets.verify('a', 'hash'))
    asked[0]!.answer(true)
    expect(new Set(await Promise.all(fleet))).toEqual(new Set([true]))
    expect(asked).toHaveLength(1)
  })

  test('forget the oldest match beyond the bound', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, rememberedMax: 2 })
    for (const secret of ['a', 'b', 'c']) {
      const outcome = secrets.verify(secret, 'hash')
      asked.at(-1)!.answer(true)
      await outcome
    }
    void secrets.verify('c', 'hash')
    expect(asked).toHaveLength(3)
    void secrets.verify('a', 'hash')
    expect(asked).toHaveLength(4)
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
