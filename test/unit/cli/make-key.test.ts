import { expect, test } from 'bun:test'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { importKeySet } from '../../../src/platform/auth/keys.ts'
import { temporaryFolder } from '../../support/folder.ts'

test('make-key prints a key set for AUTH_KEYS_FILE', async () => {
  const script = join(import.meta.dir, '../../../src/cli/make-key.ts')
  const { stdout } = Bun.spawnSync(['bun', script], { env: { PATH: process.env.PATH } })
  const entries = await importKeySet(stdout.toString())
  expect([...entries.values()][0]).toMatchObject({ alg: 'EdDSA' })
})

test('make-key --add puts a new key in front of the others', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'keys.json')
  const run = (...args: string[]) =>
    Bun.spawnSync(['bun', join(import.meta.dir, '../../../src/cli/make-key.ts'), ...args], {
      env: { PATH: process.env.PATH },
    })
  const kidsIn = async () => [...(await importKeySet(readFileSync(path, 'utf8'))).keys()]
  expect(run('--out', path).exitCode).toBe(0)
  const [first] = await kidsIn()
  expect(run('--add', path).exitCode).toBe(0)
  const kids = await kidsIn()
  expect(kids).toHaveLength(2)
  expect(kids[1]).toBe(first!)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  writeFileSync(path, 'no keys')
  expect(run('--add', path).exitCode).toBe(1)
  expect(readFileSync(path, 'utf8')).toBe('no keys')
  expect(run('--add', path, '--out', path).exitCode).toBe(64)
})
