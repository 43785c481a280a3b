import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { generateKeySet, importKeySet } from '../platform/auth/keys.ts'
import { runCommand, usageFault } from './connection.ts'

const usage = `usage: bun run make-key [--out FILE | --add FILE]

Makes a new signing key as a JWK set, for AUTH_KEYS_FILE. Without an option it prints the key.

  --out  write a new file that only its owner can read; an existing file is never replaced, because
         tokens of its keys would end
  --add  put the new key in front of those of the file: it signs from then on, and tokens of the
         others stay valid`

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

// At the end: the constants above are set when it runs.
await runCommand(usage, async () => {
  const options = { out: { type: 'string' }, add: { type: 'string' } } as const
  const { out, add } = parseArgs({ options }).values
  if (out !== undefined && add !== undefined)
    throw usageFault('give --out or --add, not both', usage)
  const key = await generateKeySet()
  if (add !== undefined) await addKey(add, key)
  else if (out === undefined) console.log(key)
  else writeFileSync(out, `${key}\n`, { mode: 0o600, flag: 'wx' })
})
