import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { generateKeySet, importKeySet } from '../platform/auth/keys.ts'

/**
 * Makes a new signing key as a JWK set, for AUTH_KEYS_FILE. `bun run make-key --out keys.json` writes a file that only
 * its owner can read; without `--out` it prints the key. It never replaces a file: tokens of the old key would end.
 * `--add keys.json` puts the new key in front of those of the file: it signs from then on, and tokens of the others stay
 * valid.
 */
try {
  const options = { out: { type: 'string' }, add: { type: 'string' } } as const
  const { out, add } = parseArgs({ options }).values
  if (out !== undefined && add !== undefined) throw new Error('give --out or --add, not both')
  const key = await generateKeySet()
  if (add !== undefined) await addKey(add, key)
  else if (out === undefined) console.log(key)
  else writeFileSync(out, `${key}\n`, { mode: 0o600, flag: 'wx' })
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

/** A running server reads the file at any time, so it is replaced as a whole. */
async function addKey(path: string, key: string): Promise<void> {
  const text = readFileSync(path, 'utf8')
  // A faulty file stays as it is.
  await importKeySet(text)
  const keys = [...JSON.parse(key).keys, ...JSON.parse(text).keys]
  const draft = `${path}.new`
  writeFileSync(draft, `${JSON.stringify({ keys }, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  renameSync(draft, path)
}
