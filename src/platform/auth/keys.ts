import { readFile, stat } from 'node:fs/promises'
import type { JWK } from 'jose'
import type { Log } from '../../core/log.ts'
import { importKeySet, type KeyEntry, makeKeySet } from './key-set.ts'
import { loadOrMake } from './private-file.ts'

/** The keys that sign and verify access tokens. */
export type Keys = {
  signing(): KeyEntry
  /** The key of that id, if it may be used with that algorithm. */
  find(kid: string | undefined, alg: string | undefined): KeyEntry | undefined
  has(kid: string): boolean
  /** Public parts only. */
  jwks(): { keys: JWK[] }
  /** Reads the file again if it changed. A file that cannot be used is reported, and the keys stay. */
  reload(): Promise<void>
}

/**
 * Loads `file`, a JWK set whose first key signs and all of whose keys verify. Without one, makes a development
 * key in `dataDir`. Throws where a key cannot be used, and for a development key in production.
 */
export async function createKeys({
  file,
  dataDir,
  production,
  log,
}: {
  file: string | undefined
  dataDir: string
  production: boolean
  log: Log
}): Promise<Keys> {
  if (file === undefined && production) throw new Error(refusal)
  const read = () =>
    file === undefined
      ? loadOrMake(dataDir, 'development-key.json', makeKeySet)
      : readFile(file, 'utf8')
  let seen = ''
  let entries = await load()

  /** Throws with the file's name, and without what stands in it. */
  async function load() {
    try {
      if (file !== undefined) seen = await fingerprint(file)
      return await importKeySet(await read())
    } catch (error) {
      throw new Error(`${file ?? dataDir} holds no signing keys: ${toReason(error)}`)
    }
  }

  async function reload() {
    if (file === undefined) return
    try {
      const found = await fingerprint(file)
      if (found === seen) return
      entries = await importKeySet(await read())
      seen = found
      log.info({ keys: [...entries.keys()] }, 'signing keys reloaded')
    } catch (error) {
      log.error({ error: toReason(error) }, 'AUTH_KEYS_FILE cannot be used: the old keys stay')
    }
  }

  return {
    signing: () => first(entries),
    find(kid, alg) {
      const entry = kid === undefined ? undefined : entries.get(kid)
      return entry?.alg === alg ? entry : undefined
    },
    has: (kid) => entries.has(kid),
    jwks: () => ({ keys: [...entries.values()].map((entry) => entry.publicJwk) }),
    reload,
  }
}

const refusal =
  'AUTH_KEYS_FILE is not set, and NODE_ENV=production refuses to sign with a development key: ' +
  'make one with `bun run make-key > keys.json` and name it there'

const toReason = (error: unknown) =>
  error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message

/** A rotation may keep the size, and two within a tick of the clock the time. */
async function fingerprint(file: string): Promise<string> {
  const { mtimeMs, size, ino } = await stat(file)
  return `${mtimeMs} ${size} ${ino}`
}

function first(entries: ReadonlyMap<string, KeyEntry>): KeyEntry {
  for (const entry of entries.values()) return entry
  throw new Error('a key set is never empty')
}
