import { withTimeLimit } from '../../core/async.ts'
import type { Log } from '../../core/log.ts'
import type { Reply } from '../../core/protocol.ts'
import type { Granted, Grants } from './grants.ts'
import type { Identities, Identity } from './identity.ts'
import type { Keys } from './keys.ts'
import { jsonHeaders, OAuthError, toErrorReply } from './oauth-error.ts'
import { parseRefreshRequest, parseTokenRequest } from './token-request.ts'

/** The handlers of the auth routes. They never throw. */
export type Routes = {
  /** POST /api/auth/token */
  token(request: Request, clientIp: string): Promise<Reply>
  /** POST /api/auth/refresh */
  refresh(request: Request, clientIp: string): Promise<Reply>
  /** GET /api/auth/verify */
  verify(request: Request, clientIp: string): Promise<Reply>
  /** GET /.well-known/jwks.json */
  jwks(): Reply
}

export function createRoutes({
  grants,
  identities,
  keys,
  accessSeconds,
  waitSeconds,
  log,
}: {
  grants: Grants
  identities: Identities
  keys: Keys
  accessSeconds: number
  waitSeconds: (clientIp: string) => number | Promise<number>
  log: Log
}): Routes {
  /** Converts every error of these routes to a reply. */
  async function answer(clientIp: string, reply: () => Promise<Reply>): Promise<Reply> {
    try {
      const seconds = await waitSeconds(clientIp)
      if (seconds > 0) throw new OAuthError('rate_limited', 'too many requests', seconds)
      return await reply()
    } catch (error) {
      if (error instanceof OAuthError) return toErrorReply(error)
      log.error({ error: String(error) }, 'a token request failed; the client gets server_error')
      return toErrorReply(new OAuthError('server_error', 'the request could not be answered'))
    }
  }

  const toTokens = ({ accessToken, refreshToken }: Granted) => ({
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: accessSeconds,
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
  })

  return {
    token: (request, clientIp) =>
      answer(clientIp, async () => {
        const body = await readSmallBody(request)
        const granted = await grants.exchange(parseTokenRequest(body, request.headers))
        return toReply(200, { ...toTokens(granted), scope: granted.permissions })
      }),
    refresh: (request, clientIp) =>
      answer(clientIp, async () => {
        const body = await readSmallBody(request)
        return toReply(
          200,
          toTokens(await grants.refresh(parseRefreshRequest(body, request.headers))),
        )
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
}

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
