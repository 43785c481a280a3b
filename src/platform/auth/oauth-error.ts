import type { Reply } from '../../core/protocol.ts'

/** The codes of RFC 6749 §5.2, and those of an overloaded or failing server. */
const statusOf = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  invalid_scope: 400,
  unsupported_grant_type: 400,
  request_too_large: 413,
  request_timeout: 408,
  rate_limited: 429,
  temporarily_unavailable: 503,
  server_error: 500,
} as const

type OAuthErrorCode = keyof typeof statusOf

/** A rejected token request. Thrown anywhere in auth; `toErrorReply` converts it to the reply. */
export class OAuthError extends Error {
  readonly code: OAuthErrorCode
  readonly retryAfterSeconds: number | undefined

  constructor(code: OAuthErrorCode, message: string, retryAfterSeconds?: number) {
    super(message)
    this.name = 'OAuthError'
    this.code = code
    this.retryAfterSeconds = retryAfterSeconds
  }
}

export function toErrorReply(error: OAuthError): Reply {
  const headers: Record<string, string> = { ...jsonHeaders }
  if (error.retryAfterSeconds !== undefined) headers['retry-after'] = `${error.retryAfterSeconds}`
  if (error.code === 'invalid_client') headers['www-authenticate'] = 'Basic realm="spillway"'
  const body = { error: error.code, error_description: error.message }
  return { status: statusOf[error.code], body: JSON.stringify(body), headers, reason: error.code }
}

/** RFC 6749 §5.1: a reply with tokens must not be cached. */
export const jsonHeaders: Readonly<Record<string, string>> = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  pragma: 'no-cache',
}
