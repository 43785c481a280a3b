import { cors } from '@elysiajs/cors'
import { Elysia } from 'elysia'

/** A browser may remember a preflight's answer this long. */
const preflightSeconds = 600

export type OriginRule = (origin: string) => boolean

/** With no list any origin may call. */
export function toOriginRule(origins: readonly string[]): OriginRule {
  const allowed = new Set(origins)
  return (origin) => allowed.size === 0 || allowed.has(origin)
}

/**
 * CORS for every route and every reply, errors included: the origin is echoed, never `*`, since beacons send
 * credentials. Source: facts of real clients, "Rules that bite", 6.
 */
export function corsPlugin(isAllowed: OriginRule) {
  const origin = (request: Request) => {
    const from = request.headers.get('origin')
    return from !== null && isAllowed(from)
  }
  return new Elysia({ name: 'cors-with-mirrored-headers' })
    .onRequest(({ request, set }) => {
      // The plugin would name every header of every request here; a preflight asks for just these.
      const wanted = request.headers.get('access-control-request-headers')
      if (wanted !== null) set.headers['access-control-allow-headers'] = wanted
    })
    .use(
      cors({
        origin: [origin],
        methods: ['GET', 'POST', 'OPTIONS'],
        allowedHeaders: [],
        exposeHeaders: ['Retry-After'],
        credentials: true,
        maxAge: preflightSeconds,
      }),
    )
}
