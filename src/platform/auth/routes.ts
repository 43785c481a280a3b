import type { Log } from '../../core/log.ts'
import type { Reply } from '../../core/protocol.ts'
import { readSmallBody } from './body.ts'
import type { Granted, Grants } from './grants.ts'
import type { Identities, Identity } from './identity.ts'
import type { Keys } from './keys.ts'
import { jsonHeaders, OAuthError, toRefusal } from './oauth-error.ts'
import { parseRefreshRequest, parseTokenRequest } from './token-request.ts'

/** One handler a route. None throws. */
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
  /** Where every refusal of these routes becomes a reply. */
  async function answer(clientIp: string, reply: () => Promise<Reply>): Promise<Reply> {
    try {
      const seconds = await waitSeconds(clientIp)
      if (seconds > 0) throw new OAuthError('rate_limited', 'too many requests', seconds)
      return await reply()
    } catch (error) {
      if (error instanceof OAuthError) return toRefusal(error)
      log.error({ error: String(error) }, 'a token request failed')
      return toRefusal(new OAuthError('server_error', 'the request could not be answered'))
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
        const judged = await identities.authenticate(request.headers.get('authorization'))
        return 'identity' in judged ? toVerified(judged.identity) : notVerified
      }),
    jwks: () => ({
      status: 200,
      body: JSON.stringify(keys.jwks()),
      headers: { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' },
    }),
  }
}

function toVerified({ id, email, name, permissions, expiresAtMs }: Identity): Reply {
  // Fields that are undefined do not appear in JSON.
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
