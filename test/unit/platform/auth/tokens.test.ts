import { describe, expect, test } from 'bun:test'
import {
  base64url,
  exportSPKI,
  generateKeyPair,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose'
import type { Keys } from '../../../../src/platform/auth/keys.ts'
import { generateKeySet, importKeySet } from '../../../../src/platform/auth/keys.ts'
import { createTokens } from '../../../../src/platform/auth/tokens.ts'

const nowMs = Date.parse('2026-01-01T12:00:00Z')
const nowSeconds = nowMs / 1000
const entries = await importKeySet(await generateKeySet())
const [key] = [...entries.values()]
const keys: Keys = {
  signing: () => key!,
  find: (kid, alg) => [...entries.values()].find((entry) => entry.kid === kid && entry.alg === alg),
  has: (kid) => entries.has(kid),
  jwks: () => ({ keys: [] }),
  reload: async () => {},
}
const clock = { nowMs }
const tokens = createTokens({
  keys,
  issuer: 'spillway',
  accessSeconds: 60,
  now: () => clock.nowMs,
})
const claims = {
  kind: 'user' as const,
  subject: 'u1',
  clientId: 'shop',
  permissions: ['public:*', 'private:orders'],
  session: 'session',
  generation: 'generation',
}
const genuine = await tokens.issue(claims)

const payload: JWTPayload = {
  ...{ iss: 'spillway', aud: 'spillway', sub: 'u1', jti: 'j', client_id: 'shop', kind: 'user' },
  ...{ sid: 'session', gen: 'generation' },
  ...{ scope: 'private:*', iat: nowSeconds, exp: nowSeconds + 60 },
}
const header: JWTHeaderParameters = { alg: 'EdDSA', kid: key!.kid, typ: 'at+jwt' }
const encode = (part: object) => base64url.encode(JSON.stringify(part))
const signed = (
  changed: JWTPayload,
  headerChanges: Partial<JWTHeaderParameters> = {},
  signingKey: CryptoKey | Uint8Array = key!.privateKey!,
) =>
  new SignJWT({ ...payload, ...changed })
    .setProtectedHeader({ ...header, ...headerChanges })
    .sign(signingKey)

const foreign = await generateKeyPair('EdDSA')
const foreignRsa = await generateKeyPair('RS256')
const publicPem = new TextEncoder().encode(await exportSPKI(key!.publicKey))
const [, genuinePayload, genuineSignature] = genuine.split('.')

const foreignJwk = await crypto.subtle.exportKey('jwk', foreign.publicKey)

const forgeries: [string, string | Promise<string>][] = [
  ['with alg none', `${encode({ ...header, alg: 'none' })}.${encode(payload)}.`],
  [
    'with alg none and a signature',
    `${encode({ ...header, alg: 'none' })}.${genuinePayload}.${genuineSignature}`,
  ],
  ['signed by HMAC with the public key', signed({}, { alg: 'HS256' }, publicPem)],
  ['signed by RSA with the id of our key', signed({}, { alg: 'RS256' }, foreignRsa.privateKey)],
  ['signed by another key with the id of our key', signed({}, {}, foreign.privateKey)],
  ['with an unknown key id', signed({}, { kid: 'other' })],
  [
    'with its own key in the header',
    signed({}, { kid: undefined as never, jwk: foreignJwk as never }, foreign.privateKey),
  ],
  ['for another audience', signed({ aud: 'elsewhere' })],
  ['of another issuer', signed({ iss: 'elsewhere' })],
  ['of another type', signed({}, { typ: 'JWT' })],
  ['without a subject', signed({ sub: undefined as never })],
  ['without a generation', signed({ gen: undefined as never })],
  ['with a header of 600 characters', signed({}, { x: 'x'.repeat(400) })],
  ['without an expiry', signed({ exp: undefined as never })],
  ['not valid yet', signed({ nbf: nowSeconds + 10 })],
  [
    'with other claims and a valid signature',
    `${genuine.split('.')[0]}.${encode(payload)}.${genuineSignature}`,
  ],
  ['without its last character', genuine.slice(0, -1)],
  ['without dots', 'token'],
  ['of 200 000 characters', 'a.'.repeat(100_000)],
]

describe('an access token', () => {
  test('returns the claims that it was issued with', async () => {
    expect(await tokens.read(genuine)).toMatchObject({
      claims: { ...claims, expiresAtMs: nowMs + 60_000, keyId: key!.kid },
    })
  })

  test('differs from another one with the same claims', async () => {
    const other = await tokens.issue(claims)
    expect(other).not.toBe(genuine)
  })

  test('is valid until the last millisecond before its expiry', async () => {
    clock.nowMs = nowMs + 59_999
    expect(await tokens.read(genuine)).toHaveProperty('claims')
    clock.nowMs = nowMs + 60_000
    expect(await tokens.read(genuine)).toEqual({ fault: 'token_expired' })
    clock.nowMs = nowMs
  })

  test('signed by hand with the right key is accepted, so the forgeries below fail for their stated fault', async () => {
    expect(await tokens.read(await signed({}))).toHaveProperty('claims')
  })

  test.each(forgeries)('%s is rejected', async (_, token) => {
    expect(await tokens.read(await token)).toEqual({ fault: 'token_invalid' })
  })

  test('is token_expired only if everything else is valid', async () => {
    const expired = { exp: nowSeconds - 1 }
    expect(await tokens.read(await signed(expired))).toEqual({ fault: 'token_expired' })
    const forged = await signed(expired, {}, foreign.privateKey)
    expect(await tokens.read(forged)).toEqual({ fault: 'token_invalid' })
  })
})
