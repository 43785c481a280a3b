import { afterAll, describe, expect, test } from 'bun:test'
import { getPriority } from 'node:os'
import {
  createPasswordThread,
  createSecrets,
  type Verifier,
} from '../../../../src/platform/auth/secrets.ts'

/** A verifier that answers when it is told to. */
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
  test('refuse whoever comes when the line is full, and nobody else', async () => {
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

  test('cost the same for nobody: a hash is compared all the same', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier })
    const outcome = secrets.verify('guess', undefined)
    expect(asked[0]!.hash).toStartWith('$argon2id$v=19$m=65536,t=2,p=1$')
    asked[0]!.answer(false)
    expect(await outcome).toBe(false)
  })

  test('that matched are not computed again, those that did not are', async () => {
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

  test('of a whole fleet at once are computed once', async () => {
    const { asked, verifier } = heldVerifier()
    const secrets = createSecrets({ verifier, waitingMax: 1 })
    const fleet = Array.from({ length: 100 }, () => secrets.verify('a', 'hash'))
    asked[0]!.answer(true)
    expect(new Set(await Promise.all(fleet))).toEqual(new Set([true]))
    expect(asked).toHaveLength(1)
  })

  test('forget the longest known when too many matched', async () => {
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

  test('tells the right secret from a wrong one and from a broken hash', async () => {
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

  test('leaves the process at its own priority', async () => {
    const before = getPriority(0)
    const other = createPasswordThread()
    await other.verify('secret', 'no hash')
    expect(getPriority(0)).toBe(before)
    other.close()
  })
})
