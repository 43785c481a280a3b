import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'

export type Algorithm = 'EdDSA' | 'RS256'

export type KeyEntry = {
  kid: string
  alg: Algorithm
  publicKey: CryptoKey
  /** Absent from a key that only verifies any more. */
  privateKey: CryptoKey | undefined
  publicJwk: JWK
}

/**
 * JWK set → keys by id, in the order of the file. Throws where a key is neither Ed25519 nor RSA of 2048 bits or
 * more, where an id repeats, and where the first cannot sign.
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
      throw new Error('the first key signs, so it must be a private one')
    entries.set(entry.kid, entry)
  }
  return entries
}

/** A fresh Ed25519 key as the text of a JWK set. */
export async function makeKeySet(): Promise<string> {
  const { privateKey } = await generateKeyPair('EdDSA', { extractable: true })
  const jwk = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint(toPublic(jwk))
  return JSON.stringify({ keys: [{ ...jwk, kid, alg: 'EdDSA', use: 'sig' }] }, null, 2)
}

const rsaBitsMin = 2048

async function importKey(jwk: JWK): Promise<KeyEntry> {
  const alg = toAlgorithm(jwk)
  if (jwk.alg !== undefined && jwk.alg !== alg)
    throw new Error(`a ${jwk.kty} key signs with ${alg}, not ${jwk.alg}`)
  const bare = toPublic(jwk)
  const kid = jwk.kid ?? (await calculateJwkThumbprint(bare))
  const publicKey = await importAsymmetric(bare, alg)
  requireStrong(publicKey)
  return {
    kid,
    alg,
    publicKey,
    privateKey: jwk.d === undefined ? undefined : await importAsymmetric(jwk, alg),
    publicJwk: { ...bare, kid, alg, use: 'sig' },
  }
}

function toAlgorithm(jwk: JWK): Algorithm {
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return 'EdDSA'
  if (jwk.kty === 'RSA') return 'RS256'
  throw new Error(`a signing key must be Ed25519 or RSA, not ${jwk.kty} ${jwk.crv ?? ''}`.trim())
}

/** Only the members that a public key has: naming the private ones would miss the next. */
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
