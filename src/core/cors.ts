/** Whether a page of this origin may call this path. */
export type OriginRule = (origin: string, path: string) => boolean

/** States the rule of `toOrigin` in messages. */
export const originRuleText =
  'an origin such as https://shop.example or capacitor://localhost, without path and wildcard; or null, or * alone for any'

/**
 * The one rule for origins: in CORS_ORIGINS, in the projects file and in the `Origin` header. Returns
 * the origin as browsers write it: lower case, no default port, no trailing slash. `*` (any origin)
 * and `null` (a page without an origin) stay as they are. Undefined for all else: a bare host, a
 * path, a wildcard inside a host.
 */
export function toOrigin(written: string): string | undefined {
  const text = written.trim().toLowerCase()
  if (text === '*' || text === 'null' || text === 'file://') return text
  const [, scheme = '', authority = ''] = originPattern.exec(text) ?? []
  if (scheme === '') return undefined
  return scheme === 'http' || scheme === 'https' ? toWebOrigin(text) : `${scheme}://${authority}`
}

/**
 * Scheme and authority. An authority has no user, path, query or wildcard. Schemes of apps and
 * extensions (`capacitor://localhost`, `tauri://localhost`, `chrome-extension://<id>`) are valid.
 */
const originPattern = /^([a-z][a-z0-9+.-]*):\/\/([^\s/\\?#@*]+)\/?$/

function toWebOrigin(text: string): string | undefined {
  try {
    // The parser drops the default port and writes hosts of other alphabets in ASCII.
    return new URL(text).origin
  } catch {
    return undefined
  }
}

/**
 * Whether `origin`, an `Origin` header, is one of `origins`, which are in the form of `toOrigin`.
 * Browsers write that form too, so another form is looked up only after the header as it is.
 */
export function isOriginAmong(origins: readonly string[], origin: string): boolean {
  return (
    origins.includes(origin) || origins.includes('*') || origins.includes(toOrigin(origin) ?? '')
  )
}

/** The faults of a list of origins, one sentence each. */
export function findOriginFaults(origins: readonly string[]): string[] {
  const invalid = origins.filter((origin) => toOrigin(origin) === undefined)
  const faults = invalid.map((origin) => `${JSON.stringify(origin)} is not ${originRuleText}`)
  const isMixed = origins.length > 1 && origins.some((origin) => toOrigin(origin) === '*')
  return isMixed ? [...faults, '"*" allows any origin, so it must stand alone'] : faults
}

/**
 * The one CORS policy, for every route and for Socket.IO. The allowed origin is echoed and never `*`, because
 * browsers refuse `*` for requests with credentials, and beacons send credentials.
 */
export const corsPolicy = {
  methods: ['GET', 'POST', 'OPTIONS'],
  exposeHeaders: ['Retry-After', 'X-Request-Id'],
  /** How long a browser may cache the answer to a preflight. */
  maxAgeSeconds: 600,
}

/**
 * Without a list any origin may send events. No page may read metrics or the console. Throws an Error for the operator, which names each
 * entry of CORS_ORIGINS that is not an origin.
 */
export function toOriginRule(origins: readonly string[], isProduction: boolean): OriginRule {
  const faults = findOriginFaults(origins)
  if (faults.length > 0) throw new Error(faults.map((fault) => `CORS_ORIGINS ${fault}`).join('\n'))
  const allowed = origins.map((origin) => toOrigin(origin) ?? origin)
  if (allowed.length > 0)
    return (origin, path) => !isForOperators(path) && isOriginAmong(allowed, origin)
  return (_, path) =>
    !isForOperators(path) && !(isProduction && guarded.some((prefix) => path.startsWith(prefix)))
}

/**
 * Browsers send beacons with credentials, and refuse the reply to a preflight that does not allow
 * them. So the routes of events and of the SDK's boot do. The others read no cookie, and do not.
 */
export function needsCredentials(path: string): boolean {
  return !withoutCredentials.some((prefix) => path.startsWith(prefix))
}

/** `/users` and `/v2`: mobile clients send reports, and no browser. */
const withoutCredentials = [
  ...[
    '/api/auth/',
    '/api/sdk/',
    '/api/health',
    '/.well-known/',
    '/metrics',
    '/console',
    '/users/',
    '/v2/',
  ],
  ...['/_readiness', '/_liveness', '/health'],
]

const isForOperators = (path: string) => path === '/metrics' || path.startsWith('/console')

/** Routes that return tokens or settings: in production only origins of CORS_ORIGINS may call them. */
const guarded = ['/api/auth/', '/api/sdk/', '/socket.io/']

/** CORS headers of one reply. Without an origin, or with one that is not allowed, it carries `vary` only. */
export function toCorsHeaders(
  request: Request,
  isAllowedOrigin: (origin: string) => boolean,
): Record<string, string> {
  const origin = request.headers.get('origin')
  if (origin === null || !isAllowedOrigin(origin)) return { vary: 'Origin' }
  const headers = {
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': corsPolicy.exposeHeaders.join(', '),
    vary: 'Origin',
  }
  return request.method === 'OPTIONS' ? { ...headers, ...toPreflightHeaders(request) } : headers
}

function toPreflightHeaders(request: Request): Record<string, string> {
  const wanted = request.headers.get('access-control-request-headers')
  return {
    'access-control-allow-methods': corsPolicy.methods.join(', '),
    'access-control-allow-headers': wanted ?? 'Content-Type, Authorization',
    'access-control-max-age': `${corsPolicy.maxAgeSeconds}`,
  }
}
