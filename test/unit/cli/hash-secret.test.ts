import { expect, test } from 'bun:test'
import { join } from 'node:path'

const run = (input: string) =>
  Bun.spawnSync(['bun', join(import.meta.dir, '../../../src/cli/hash-secret.ts')], {
    stdin: Buffer.from(input),
    env: { PATH: process.env.PATH },
  })

test('hash-secret prints the hash of its input line', async () => {
  const { stdout, exitCode } = run('open sesame\n')
  const hash = stdout.toString().trim()
  expect(exitCode).toBe(0)
  expect(hash).toStartWith('$argon2id$')
  expect(await Bun.password.verify('open sesame', hash)).toBe(true)
})

test('hash-secret rejects an empty line and says what to do', () => {
  const { exitCode, stderr } = run('\n')
  expect(exitCode).toBe(1)
  expect(stderr.toString()).toContain('pipe one to')
})
