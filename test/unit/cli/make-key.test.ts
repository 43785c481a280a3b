import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { importKeySet } from '../../../src/platform/auth/keys.ts'

const run = (name: string, input: string) =>
  Bun.spawnSync(['bun', join(import.meta.dir, '../../../src/cli', name)], {
    stdin: Buffer.from(input),
    env: { PATH: process.env.PATH },
  })

describe('command-line tools', () => {
  test('hash-secret prints the hash of its input line', async () => {
    const { stdout, exitCode } = run('hash-secret.ts', 'open sesame\n')
    const hash = stdout.toString().trim()
    expect(exitCode).toBe(0)
    expect(hash).toStartWith('$argon2id$')
    expect(await Bun.password.verify('open sesame', hash)).toBe(true)
  })

  test('hash-secret rejects an empty line', () => {
    expect(run('hash-secret.ts', '\n').exitCode).toBe(1)
  })

  test('make-key prints a key set for AUTH_KEYS_FILE', async () => {
    const entries = await importKeySet(run('make-key.ts', '').stdout.toString())
    expect([...entries.values()][0]).toMatchObject({ alg: 'EdDSA' })
  })
})
