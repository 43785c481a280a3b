import { describe, expect, test } from 'bun:test'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { silentLog } from '../../../../src/core/log.ts'
import { createKeys, generateKeySet, importKeySet } from '../../../../src/platform/auth/keys.ts'
import { temporaryFolder } from '../../../support/folder.ts'

const ed = await jwkOf('EdDSA')
const rsa = await jwkOf('RS256')
const setOf = (...keys: JWK[]) => JSON.stringify({ keys })
const publicOf = ({ d: _d, ...rest }: JWK) => rest as JWK

describe('a key set', () => {
  test('signs with the first key and verifies with all', async () => {
    const entries = [...(await importKeySet(setOf(ed, rsa))).values()]
    expect(entries.map(({ alg }) => alg)).toEqual(['EdDSA', 'RS256'])
    expect(entries.every(({ privateKey }) => privateKey)).toBe(true)
  })

  test('publishes only the public parts', async () => {
    for (const { publicJwk } of (await importKeySet(setOf(ed, rsa))).values())
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'])
        expect(publicJwk).not.toHaveProperty(secret)
  })

  test.each([
    ['of symmetric keys', setOf({ kty: 'oct', k: 'c2VjcmV0' }), 'must be Ed25519 or RSA'],
    ['of another curve', setOf({ kty: 'EC', crv: 'P-256' }), 'must be Ed25519 or RSA'],
    ['with another algorithm', setOf({ ...rsa, alg: 'PS256' }), 'signs with RS256'],
    ['whose first key is public', setOf(publicOf(ed)), 'the first key signs'],
    [
      'with a repeated kid',
      setOf({ ...ed, kid: 'a' }, { ...rsa, kid: 'a' }),
      'two keys have the kid',
    ],
    ['without keys', '{"keys":[]}', 'non-empty'],
    ['without an array of keys', '{}', 'non-empty'],
  ])('%s is rejected', async (_, text, message) => {
    await expect(importKeySet(text)).rejects.toThrow(message)
  })

  test('with an RSA key below 2048 bits is rejected', async () => {
    const { privateKey } = await crypto.subtle.generateKey(
      {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      },
      true,
      ['sign', 'verify'],
    )
    const jwk = (await crypto.subtle.exportKey('jwk', privateKey)) as JWK
    await expect(importKeySet(setOf(jwk))).rejects.toThrow('2048 bits')
  })
})

describe('keys', () => {
  const start = (folder: string, file?: string, production = false) =>
    createKeys({ file, dataDir: folder, production, log: silentLog })

  test('without a file are created once by concurrent starts, with file mode 0600', async () => {
    using folder = temporaryFolder()
    const started = await Promise.all([start(folder.path), start(folder.path)])
    const kids = [...started, await start(folder.path)].map((keys) => keys.signing().kid)
    expect(new Set(kids).size).toBe(1)
    expect(statSync(join(folder.path, 'development-key.json')).mode & 0o777).toBe(0o600)
  })

  test('without a file are rejected in production', async () => {
    using folder = temporaryFolder()
    await expect(start(folder.path, undefined, true)).rejects.toThrow('AUTH_KEYS_FILE is not set')
  })

  test('rotate: the new first key signs, the old one still verifies, a removed one does not', async () => {
    using folder = temporaryFolder()
    const file = join(folder.path, 'keys.json')
    writeFileSync(file, setOf({ ...ed, kid: 'old' }))
    const keys = await start(folder.path, file, true)
    writeFileSync(file, setOf({ ...rsa, kid: 'new' }, publicOf({ ...ed, kid: 'old' })))
    await keys.reload()
    expect(keys.signing().kid).toBe('new')
    expect(keys.find('old', 'EdDSA')).toBeDefined()
    writeFileSync(file, setOf({ ...rsa, kid: 'new' }))
    await keys.reload()
    expect(keys.has('old')).toBe(false)
  })

  test('stay in use when the file becomes unusable', async () => {
    using folder = temporaryFolder()
    const file = join(folder.path, 'keys.json')
    writeFileSync(file, await generateKeySet())
    const keys = await start(folder.path, file)
    const before = keys.signing().kid
    writeFileSync(file, 'not JSON')
    await keys.reload()
    expect(keys.signing().kid).toBe(before)
    expect(readFileSync(file, 'utf8')).toBe('not JSON')
  })

  test('are found with their own algorithm only', async () => {
    using folder = temporaryFolder()
    const keys = await start(folder.path)
    const { kid } = keys.signing()
    expect(keys.find(kid, 'EdDSA')?.kid).toBe(kid)
    expect(keys.find(kid, 'RS256')).toBeUndefined()
    expect(keys.find(kid, 'HS256')).toBeUndefined()
    expect(keys.find(undefined, 'EdDSA')).toBeUndefined()
  })
})

async function jwkOf(alg: 'EdDSA' | 'RS256'): Promise<JWK> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return await exportJWK(privateKey)
}
