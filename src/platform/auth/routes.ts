import { toSender } from '../../core/address.ts'
import { withTimeLimit } from '../../core/async.ts'
import type { Log } from '../../core/log.ts'
import type { Reply } from '../../core/protocol.ts'
import { noPublicUrl, toBaseUrl } from '../sdk-config/config.ts'
import type { Caller } from './authenticator.ts'
import type { Granted, Grants } from './grants.ts'
import type { Identities, Identity } from './identity.ts'
import type { Keys } from './keys.ts'
import {
  jsonHeaders,
  OAuthError,
  parseRefreshRequest,
  parseRevokeRequest,
  parseTokenRequest,
  toErrorReply,
} from './token-request.ts'

/** The handlers of the auth routes. They never throw. */
export type Routes = {
  /** POST /api/auth/token */
  token(request: Request, clientIp: string): Promise<Reply>
  /** POST /api/auth/refresh */
  refresh(request: Request, clientIp: string): Promise<Reply>
  /** GET /api/auth/verify */
  verify(request: Request, clientIp: string): Promise<Reply>
  /** POST /api/auth/revoke */
  revoke(request: Request, clientIp: string): Promise<Reply>
  /** GET /.well-known/jwks.json */
  jwks(): Reply
  /** GET /.well-known/oauth-authorization-server. `https`: a proxy received the request over TLS. */
  metadata(request: Request, https?: boolean): Reply
}

export function createRoutes({
  grants,
  identities,
  keys,
  settings,
  waitSeconds,
  log,
}: {
  grants: Grants
  identities: Identities
  keys: Keys
  settings: {
    accessSeconds: number
    issuer: string
    publicUrl: string | undefined
    production: boolean
  }
  waitSeconds: (sender: string) => number | Promise<number>
  log: Log
}): Routes {
  /** Converts every error of these routes to a reply. */
  async function answer(
    clientIp: string,
    reply: (caller: Caller) => Promise<Reply>,
  ): Promise<Reply> {
    try {
      const sender = toSender(clientIp)
      const seconds = await waitSeconds(sender)
      if (seconds > 0) throw new OAuthError('rate_limited', 'too many requests', seconds)
      return await reply({ ip: clientIp, sender })
    } catch (error) {
      if (error instanceof OAuthError) return toErrorReply(error)
      log.error({ error: String(error) }, 'a token request failed; the client gets server_error')
      return toErrorReply(new OAuthError('server_error', 'the request could not be answered'))
    }
  }

  const toTokens = ({ accessToken, refreshToken }: Granted) => ({
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: settings.accessSeconds,
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
  })

  return {
    token: (request, clientIp) =>
      answer(clientIp, async (caller) => {
        const asked = parseTokenRequest(await readSmallBody(request), request.headers)
        const granted = await grants.exchange(asked, caller)
        const { permissions } = granted
        const scope = asked.isForm ? permissions.join(' ') : permissions
        return toReply(200, { ...toTokens(granted), scope })
      }),
    refresh: (request, clientIp) =>
      answer(clientIp, async (caller) => {
        const asked = parseRefreshRequest(await readSmallBody(request), request.headers)
        return toReply(200, toTokens(await grants.refresh(asked, caller)))
      }),
    revoke: (request, clientIp) =>
      answer(clientIp, async (caller) => {
        const asked = parseRevokeRequest(await readSmallBody(request), request.headers)
        await grants.revoke(asked, caller)
        return toReply(200, {})
      }),
    verify: (request, clientIp) =>
      answer(clientIp, async () => {
        const authentication = await identities.authenticate(request.headers.get('authorization'))
        return 'identity' in authentication ? toVerified(authentication.identity) : notVerified
      }),
    jwks: () => ({
      status: 200,
      body: JSON.stringify(keys.jwks()),
      headers: { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' },
    }),
    metadata: (request, https = false) =>
      settings.production && settings.publicUrl === undefined
        ? noPublicUrl
        : toMetadata(toBaseUrl(request, { ...settings, https }), settings.issuer),
  }
}

function toVerified({ id, email, name, permissions, expiresAtMs }: Identity): Reply {
  // JSON.stringify omits undefined fields.
  const user = { id, email, name, permissions }
  return toReply(200, { valid: true, user, expires_at: expiresAtMs })
}

const toReply = (status: number, body: object): Reply => ({
  status,
  body: JSON.stringify(body),
  headers: { ...jsonHeaders },
})

const notVerified: Reply = {
  status: 401,
  body: JSON.stringify({ valid: false }),
  headers: { ...jsonHeaders, 'www-authenticate': 'Bearer error="invalid_token"' },
  reason: 'invalid_token',
}

/**
 * RFC 8414. The issuer must be the URL that the client asked; AUTH_ISSUER has to be that URL where
 * other programs verify tokens by this document.
 */
function toMetadata(base: string, issuer: string): Reply {
  const body = {
    issuer: /^https?:\/\//.test(issuer) ? issuer : base,
    token_endpoint: `${base}/api/auth/token`,
    revocation_endpoint: `${base}/api/auth/revoke`,
    jwks_uri: `${base}/.well-known/jwks.json`,
    response_types_supported: [],
    grant_types_supported: ['client_credentials', 'password', 'refresh_token'],
    token_endpoint_auth_methods_supported: authMethods,
    revocation_endpoint_auth_methods_supported: authMethods,
  }
  // Private: the URLs may come from the Host header of this request.
  const headers = { 'content-type': 'application/json', 'cache-control': 'private, max-age=300' }
  return { status: 200, body: JSON.stringify(body), headers }
}

const authMethods = ['client_secret_basic', 'client_secret_post', 'none']

const bodyBytesMax = 16 * 1024
const bodyMsMax = 10_000

/**
 * Throws OAuthError if the body is too large or too slow, or if the client closes the connection.
 */
async function readSmallBody(request: Request): Promise<string> {
  if (Number(request.headers.get('content-length') ?? 0) > bodyBytesMax) throw tooLarge()
  if (!request.body) return ''
  const reader = request.body.getReader()
  try {
    return await withTimeLimit(readAll(reader), bodyMsMax, () => {
      throw new OAuthError('request_timeout', `the body did not arrive within ${bodyMsMax} ms`)
    })
  } catch (error) {
    await reader.cancel().catch(() => {})
    if (error instanceof OAuthError) throw error
    throw new OAuthError('invalid_request', 'the connection closed before the end of the body')
  }
}

async function readAll(reader: {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>
}): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done || !value) return Buffer.concat(chunks, bytes).toString()
    bytes += value.byteLength
    if (bytes > bodyBytesMax) throw tooLarge()
    chunks.push(value)
  }
}

const tooLarge = () =>
  new OAuthError('request_too_large', `a token request is at most ${bodyBytesMax} bytes`)
