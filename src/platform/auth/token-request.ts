import { jsonGuard } from '../../core/json-guard.ts'
import type { Reply } from '../../core/protocol.ts'

/** A token request. Types and lengths of its fields are checked, the credentials are not. */
export type TokenRequest = {
  grantType: string
  /** At least one reading of the client's credentials. */
  credentials: readonly ClientCredentials[]
  username: string | undefined
  password: string | undefined
  refreshToken: string | undefined
  scope: readonly string[] | undefined
  /** A form gets `scope` as a string (RFC 6749 §5.1), JSON as the contract's array. */
  isForm: boolean
}

/**
 * A client's id and secret. A Basic header has up to three readings, because clients disagree about
 * its encoding; the right secret decides which one was meant.
 */
export type ClientCredentials = { id: string; secret: string | undefined }

/** A refresh token, and the credentials that came with it; none for the contract's own request. */
export type RefreshRequest = { refreshToken: string; credentials: readonly ClientCredentials[] }

/** The token to revoke, and the client that asks (RFC 7009 §2.1). */
export type RevokeRequest = { token: string; credentials: readonly ClientCredentials[] }

/**
 * Parses the body of `/api/auth/token`: JSON or a form, with the client's credentials in it or in a
 * Basic header. Throws OAuthError `invalid_request`. Source: RFC 6749 §2.3.1 and §4,
 * docs/contracts/platform.md.
 */
export function parseTokenRequest(body: string, headers: Headers): TokenRequest {
  const fields = parseFields(body, headers)
  const credentials = readCredentials(fields, headers)
  const grantType = fields.text('grant_type')
  if (!grantType) throw invalid('grant_type is missing')
  if (credentials.length === 0) throw invalid('client_id is missing')
  return {
    grantType,
    credentials,
    username: fields.text('username'),
    password: fields.text('password'),
    refreshToken: fields.text('refresh_token'),
    scope: fields.scope(),
    isForm: fields.isForm,
  }
}

/** Parses the body of `/api/auth/refresh`. Throws OAuthError `invalid_request`. */
export function parseRefreshRequest(body: string, headers: Headers): RefreshRequest {
  const fields = parseFields(body, headers)
  const refreshToken = fields.text('refresh_token')
  if (!refreshToken) throw invalid('refresh_token is missing')
  return { refreshToken, credentials: readCredentials(fields, headers) }
}

/** Parses the body of `/api/auth/revoke`. Throws OAuthError `invalid_request`. */
export function parseRevokeRequest(body: string, headers: Headers): RevokeRequest {
  const fields = parseFields(body, headers)
  const token = fields.text('token', tokenLengthMax)
  if (!token) throw invalid('token is missing')
  const credentials = readCredentials(fields, headers)
  if (credentials.length === 0) throw invalid('client_id is missing')
  return { token, credentials }
}

type Fields = {
  isForm: boolean
  text(name: string, lengthMax?: number): string | undefined
  scope(): string[] | undefined
}

/** Longer than any real credential, and short enough to hash. */
const fieldLengthMax = 1024
/** An access token may be longer than a credential. */
const tokenLengthMax = 8192
const scopesMax = 100
/**
 * A request has at most nine fields. The bound keeps a body of many different names from the parser,
 * whose hash of names a sender can make collide.
 */
const namesMax = 50

const invalid = (message: string) => new OAuthError('invalid_request', message)

function parseFields(body: string, headers: Headers): Fields {
  const type = headers.get('content-type')?.toLowerCase() ?? ''
  const isForm = type.includes('x-www-form-urlencoded') && !body.trimStart().startsWith('{')
  return isForm ? formFields(body) : jsonFields(body)
}

function jsonFields(body: string): Fields {
  const fields = parseObject(body)
  return {
    isForm: false,
    text(name, lengthMax) {
      const value = Object.hasOwn(fields, name) ? fields[name] : undefined
      if (value === undefined || value === null) return undefined
      if (typeof value !== 'string') throw invalid(`${name} must be a string`)
      return toBounded(name, value, lengthMax)
    },
    scope() {
      const value = Object.hasOwn(fields, 'scope') ? fields.scope : undefined
      if (value === undefined || value === null) return undefined
      if (typeof value === 'string') return toScopes([value])
      if (Array.isArray(value) && value.every((entry) => typeof entry === 'string'))
        return toScopes(value)
      throw invalid('scope must be an array of strings')
    },
  }
}

function parseObject(body: string): Record<string, unknown> {
  if ((body.match(/"\s*:/g)?.length ?? 0) > namesMax)
    throw invalid(`the body must not have more than ${namesMax} fields`)
  let value: unknown
  try {
    value = jsonGuard.parse(body)
  } catch {
    throw invalid('the body is neither JSON nor a form')
  }
  if (jsonGuard.takeCollision()) throw invalid('the body takes too long to parse')
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('the body must be a JSON object')
  return value as Record<string, unknown>
}

function formFields(body: string): Fields {
  const form = new URLSearchParams(body)
  return {
    isForm: true,
    text(name, lengthMax) {
      const values = form.getAll(name)
      if (values.length > 1) throw invalid(`${name} must not be repeated`)
      return values[0] === undefined ? undefined : toBounded(name, values[0], lengthMax)
    },
    scope: () => (form.has('scope') ? toScopes(form.getAll('scope')) : undefined),
  }
}

function toBounded(name: string, value: string, lengthMax = fieldLengthMax): string {
  if (value.length > lengthMax) throw invalid(`${name} is too long`)
  return value
}

function toScopes(values: readonly string[]): string[] {
  const scopes = values.flatMap((value) => value.split(' ')).filter((scope) => scope !== '')
  if (scopes.length > scopesMax || scopes.some((scope) => scope.length > fieldLengthMax))
    throw invalid('scope is too long')
  return scopes
}

/** Empty if the request names no client. */
function readCredentials(fields: Fields, headers: Headers): ClientCredentials[] {
  const basic = parseBasic(headers.get('authorization'))
  const id = fields.text('client_id')
  const secret = fields.text('client_secret') || undefined
  if (basic) {
    if (secret !== undefined || (id && !basic.some((reading) => reading.id === id)))
      throw invalid('the client must authenticate in one way only')
    return basic
  }
  if (!id && secret !== undefined) throw invalid('client_id is missing')
  return id ? [{ id, secret }] : []
}

/**
 * All readings of `Basic base64(id:secret)`. RFC 6749 §2.3.1 encodes both parts as in a form; many
 * clients encode them as in a URL, where `+` stands for itself, or not at all. Undefined for other
 * schemes.
 */
function parseBasic(header: string | null): ClientCredentials[] | undefined {
  const encoded = /^Basic(?: +(.*))?$/i.exec(header?.trim() ?? '')
  if (!encoded) return undefined
  const pair = /^[A-Za-z0-9+/=_-]+$/.test(encoded[1] ?? '')
    ? Buffer.from(encoded[1]!, 'base64').toString()
    : ''
  const colon = pair.indexOf(':')
  if (colon < 0) throw invalid('the Authorization header is not id:secret')
  const [id, secret] = [pair.slice(0, colon), pair.slice(colon + 1)]
  toBounded('client_id', id)
  toBounded('client_secret', secret)
  const readings = [fromForm, fromUrl, (part: string) => part].map((decode) => ({
    id: decode(id),
    secret: decode(secret) || undefined,
  }))
  return readings.filter(
    (one, at) =>
      one.id !== '' &&
      readings.findIndex((other) => other.id === one.id && other.secret === one.secret) === at,
  )
}

const fromForm = (part: string) => fromUrl(part.replaceAll('+', ' '))

/** A part with a `%` that encodes nothing was not encoded. */
function fromUrl(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

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
