/** CORS headers of one reply: the origin is echoed where it may call, and nothing is said where it may not. */
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
    'access-control-expose-headers': 'Retry-After',
    vary: 'Origin',
  }
  return request.method === 'OPTIONS' ? { ...headers, ...toPreflight(request) } : headers
}

const preflightSeconds = 600

function toPreflight(request: Request): Record<string, string> {
  const wanted = request.headers.get('access-control-request-headers')
  return {
    'access-control-allow-methods': 'GET, POST, OPTIONS',
    'access-control-allow-headers': wanted ?? 'Content-Type, Authorization',
    'access-control-max-age': `${preflightSeconds}`,
  }
}
