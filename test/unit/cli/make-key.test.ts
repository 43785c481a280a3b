import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { importKeySet } from '../../../src/platform/auth/keys.ts'

test('make-key prints a key set for AUTH_KEYS_FILE', async () => {
  const script = join(import.meta.dir, '../../../src/cli/make-key.ts')
  const { stdout } = Bun.spawnSync(['bun', script], { env: { PATH: process.env.PATH } })
  const entries = await importKeySet(stdout.toString())
  expect([...entries.values()][0]).toMatchObject({ alg: 'EdDSA' })
})
