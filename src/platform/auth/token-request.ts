import { OAuthError } from './oauth-error.ts'

/** A token request. Types and lengths of its fields are checked, the credentials are not. */
export type TokenRequest = {
  grantType: string
  clientId: string
  clientSecret: string | undefined
  username: string | undefined
  password: string | undefined
  refreshToken: string | undefined
  scope: readonly string[] | undefined
}

/**
 * Parses the body of `/api/auth/token`: JSON or a form, with the client's credentials in it or in a
 * Basic header. Throws OAuthError `invalid_request`. Source: RFC 6749 §2.3.1 and §4,
 * docs/contracts/platform.md.
 */
export function parseTokenRequest(body: string, headers: Headers): TokenRequest {
  const fields = parseFields(body, headers.get('content-type') ?? '')
  const basic = parseBasic(headers.get('authorization'))
  const inBody = fields.text('client_id')
  const inBodySecret = fields.text('client_secret')
  if (basic && (inBodySecret !== undefined || (inBody ?? basic.id) !== basic.id))
    throw invalid('the client must authenticate in one way only')
  const grantType = fields.text('grant_type')
  const clientId = basic?.id ?? inBody
  if (!grantType) throw invalid('grant_type is missing')
  if (!clientId) throw invalid('client_id is missing')
  return {
    grantType,
    clientId,
    clientSecret: (basic ? basic.secret : inBodySecret) || undefined,
    username: fields.text('username'),
    password: fields.text('password'),
    refreshToken: fields.text('refresh_token'),
    scope: fields.scope(),
  }
}

/**
 * Parses the body of `/api/auth/refresh`, which has only `refresh_token`. Throws OAuthError
 * `invalid_request`.
 */
export function parseRefreshRequest(body: string, headers: Headers): string {
  const token = parseFields(body, headers.get('content-type') ?? '').text('refresh_token')
  if (!token) throw invalid('refresh_token is missing')
  return token
}

type Fields = { text(name: string): string | undefined; scope(): string[] | undefined }

/** Longer than any real credential, and short enough to hash. */
const fieldLengthMax = 1024
const scopesMax = 100

const invalid = (message: string) => new OAuthError('invalid_request', message)

function parseFields(body: string, contentType: string): Fields {
  const isForm = contentType.includes('x-www-form-urlencoded')
  return isForm && !body.trimStart().startsWith('{') ? formFields(body) : jsonFields(body)
}

function jsonFields(body: string): Fields {
  const fields = parseObject(body)
  return {
    text(name) {
      const value = Object.hasOwn(fields, name) ? fields[name] : undefined
      if (value === undefined || value === null) return undefined
      if (typeof value !== 'string') throw invalid(`${name} must be a string`)
      return toBounded(name, value)
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
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    throw invalid('the body is neither JSON nor a form')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('the body must be a JSON object')
  return value as Record<string, unknown>
}

function formFields(body: string): Fields {
  const form = new URLSearchParams(body)
  return {
    text(name) {
      const values = form.getAll(name)
      if (values.length > 1) throw invalid(`${name} must not be repeated`)
      return values[0] === undefined ? undefined : toBounded(name, values[0])
    },
    scope: () => (form.has('scope') ? toScopes(form.getAll('scope')) : undefined),
  }
}

function toBounded(name: string, value: string): string {
  if (value.length > fieldLengthMax) throw invalid(`${name} is too long`)
  return value
}

function toScopes(values: readonly string[]): string[] {
  const scopes = values.flatMap((value) => value.split(' ')).filter((scope) => scope !== '')
  if (scopes.length > scopesMax || scopes.some((scope) => scope.length > fieldLengthMax))
    throw invalid('scope is too long')
  return scopes
}

/**
 * `Basic base64(id:secret)`, both percent-encoded (RFC 6749 §2.3.1). Undefined for other schemes.
 */
function parseBasic(header: string | null): { id: string; secret: string } | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const pair = Buffer.from(encoded, 'base64').toString()
  const colon = pair.indexOf(':')
  if (colon < 0) throw invalid('the Authorization header is not id:secret')
  const [id, secret] = [toDecoded(pair.slice(0, colon)), toDecoded(pair.slice(colon + 1))]
  return { id: toBounded('client_id', id), secret: toBounded('client_secret', secret) }
}

/**
 * Many clients omit the percent-encoding. A part that does not decode is used as it is, and `+` is
 * not a space.
 */
function toDecoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
