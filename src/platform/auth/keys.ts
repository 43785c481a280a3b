import { readFile, stat } from 'node:fs/promises'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import type { Log } from '../../core/log.ts'
import { loadOrCreate } from './private-file.ts'

/** The keys that sign and verify access tokens. */
export type Keys = {
  signing(): KeyEntry
  /** The key with that id, if it may be used with that algorithm. */
  find(kid: string | undefined, alg: string | undefined): KeyEntry | undefined
  has(kid: string): boolean
  /** Public parts only. */
  jwks(): { keys: JWK[] }
  /**
   * Reads the file again if it changed. If the file is unusable, logs it and keeps the current
   * keys.
   */
  reload(): Promise<void>
}

export type KeyEntry = {
  kid: string
  alg: Algorithm
  publicKey: CryptoKey
  /** Undefined for a key that only verifies. */
  privateKey: CryptoKey | undefined
  publicJwk: JWK
}

/**
 * Loads `file`, a JWK set: the first key signs and all keys verify. Without a file, creates a
 * development key in `dataDir`. Throws if a key is unusable, and in production without a file.
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
  if (file === undefined && production) throw new Error(keysFileMissing)
  const read = () =>
    file === undefined
      ? loadOrCreate(dataDir, 'development-key.json', generateKeySet)
      : readFile(file, 'utf8')
  let loadedFingerprint = ''
  let entries = await load()

  /** Throws with the name of the file, never with its content. */
  async function load() {
    try {
      if (file !== undefined) loadedFingerprint = await readFingerprint(file)
      return await importKeySet(await read())
    } catch (error) {
      throw new Error(
        `${file === undefined ? dataDir : `AUTH_KEYS_FILE ${file}`} holds no signing keys: ${toReason(error)}`,
      )
    }
  }

  async function reload() {
    if (file === undefined) return
    try {
      const fingerprint = await readFingerprint(file)
      if (fingerprint === loadedFingerprint) return
      entries = await importKeySet(await read())
      loadedFingerprint = fingerprint
      log.info({ security: 'keys_reloaded', keys: [...entries.keys()] }, 'signing keys reloaded')
    } catch (error) {
      log.error(
        { security: 'keys_reload_refused', error: toReason(error) },
        'AUTH_KEYS_FILE is unusable, the current keys stay in use; correct the file',
      )
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

/**
 * Converts a JWK set to keys by id, in the order of the file. Throws if a key is neither Ed25519
 * nor RSA of at least 2048 bits, if an id occurs twice, or if the first key cannot sign.
 */
export async function importKeySet(text: string): Promise<Map<string, KeyEntry>> {
  const set = JSON.parse(text) as { keys?: unknown }
  if (!Array.isArray(set.keys) || set.keys.length === 0)
    throw new Error('a JWK set needs a non-empty array "keys"')
  const entries = new Map<string, KeyEntry>()
  for (const jwk of set.keys as JWK[]) {
    const entry = await importKey(jwk)
    if (entries.has(entry.kid)) throw new Error(`two keys have the kid "${entry.kid}"`)
    if (entries.size === 0 && !entry.privateKey)
      throw new Error('the first key signs, so it must be a private key')
    entries.set(entry.kid, entry)
  }
  return entries
}

/** A new Ed25519 key as the text of a JWK set. */
export async function generateKeySet(): Promise<string> {
  const { privateKey } = await generateKeyPair('EdDSA', { extractable: true })
  const jwk = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint(toPublic(jwk))
  return JSON.stringify({ keys: [{ ...jwk, kid, alg: 'EdDSA', use: 'sig' }] }, null, 2)
}

type Algorithm = 'EdDSA' | 'RS256'

export const keysFileMissing =
  'AUTH_KEYS_FILE is not set although the projects file has clients, and NODE_ENV=production refuses to sign with a development key: ' +
  'make one with `bun run make-key --out keys.json` and name it there'

const rsaBitsMin = 2048

const toReason = (error: unknown) =>
  error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message

/**
 * Includes the inode: a rotation may keep size and mtime (two changes within one tick of the file
 * system's clock).
 */
async function readFingerprint(file: string): Promise<string> {
  const { mtimeMs, size, ino } = await stat(file)
  return `${mtimeMs} ${size} ${ino}`
}

function first(entries: ReadonlyMap<string, KeyEntry>): KeyEntry {
  for (const entry of entries.values()) return entry
  throw new Error('a key set is never empty')
}

async function importKey(jwk: JWK): Promise<KeyEntry> {
  const alg = toAlgorithm(jwk)
  if (jwk.alg !== undefined && jwk.alg !== alg)
    throw new Error(`a ${jwk.kty} key signs with ${alg}, not ${jwk.alg}`)
  const publicJwk = toPublic(jwk)
  const kid = jwk.kid ?? (await calculateJwkThumbprint(publicJwk))
  const publicKey = await importAsymmetric(publicJwk, alg)
  requireStrong(publicKey)
  return {
    kid,
    alg,
    publicKey,
    privateKey: jwk.d === undefined ? undefined : await importAsymmetric(jwk, alg),
    publicJwk: { ...publicJwk, kid, alg, use: 'sig' },
  }
}

function toAlgorithm(jwk: JWK): Algorithm {
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return 'EdDSA'
  if (jwk.kty === 'RSA') return 'RS256'
  throw new Error(`a signing key must be Ed25519 or RSA, not ${jwk.kty} ${jwk.crv ?? ''}`.trim())
}

/** An allowlist of public members: a list of private ones could miss one and publish it. */
function toPublic(jwk: JWK): JWK {
  return jwk.kty === 'RSA'
    ? { kty: 'RSA', n: jwk.n!, e: jwk.e! }
    : { kty: jwk.kty!, crv: jwk.crv!, x: jwk.x! }
}

async function importAsymmetric(jwk: JWK, alg: Algorithm): Promise<CryptoKey> {
  const { use: _use, key_ops: _ops, ext: _ext, ...bare } = jwk
  return (await importJWK(bare, alg)) as CryptoKey
}

function requireStrong(key: CryptoKey): void {
  const bits = (key.algorithm as { modulusLength?: number }).modulusLength
  if (bits !== undefined && bits < rsaBitsMin)
    throw new Error(`an RSA key needs ${rsaBitsMin} bits, not ${bits}`)
}
