import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { generateKeySet } from '../platform/auth/keys.ts'

/**
 * Makes a new signing key as a JWK set, for AUTH_KEYS_FILE. `bun run make-key --out keys.json` writes a file that only
 * its owner can read; without `--out` it prints the key. It never replaces a file: tokens of the old key would end.
 */
try {
  const { out } = parseArgs({ options: { out: { type: 'string' } } }).values
  const key = await generateKeySet()
  if (out === undefined) console.log(key)
  else writeFileSync(out, `${key}\n`, { mode: 0o600, flag: 'wx' })
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
