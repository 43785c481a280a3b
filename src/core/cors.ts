/** Whether a page of this origin may call this path. */
export type OriginRule = (origin: string, path: string) => boolean

/**
 * The one CORS policy, for every route and for Socket.IO. The allowed origin is echoed and never `*`, because
 * browsers refuse `*` for requests with credentials, and beacons send credentials.
 */
export const corsPolicy = {
  methods: ['GET', 'POST', 'OPTIONS'],
  exposeHeaders: ['Retry-After'],
  /** How long a browser may cache the answer to a preflight. */
  maxAgeSeconds: 600,
}

/** Without a list any origin may send events. */
export function toOriginRule(origins: readonly string[], isProduction: boolean): OriginRule {
  const allowed = new Set(origins)
  if (allowed.size > 0) return (origin) => allowed.has(origin)
  return (_, path) => !isProduction || !guarded.some((prefix) => path.startsWith(prefix))
}

/** Routes that return tokens or settings: in production only origins of CORS_ORIGINS may call them. */
const guarded = ['/api/auth/', '/api/sdk/', '/socket.io/']

/** CORS headers of one reply. A reply to an origin that is not allowed carries `vary` only. */
export function toCorsHeaders(
  request: Request,
  isAllowedOrigin: (origin: string) => boolean,
): Record<string, string> {
  const origin = request.headers.get('origin')
  if (origin === null) return {}
  if (!isAllowedOrigin(origin)) return { vary: 'Origin' }
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
