import { cors } from '@elysiajs/cors'
import { Elysia } from 'elysia'
import { parseTarget } from './incoming.ts'

/** A browser may remember a preflight's answer this long. */
const preflightSeconds = 600

/** Whether a page of this origin may call this path. */
export type OriginRule = (origin: string, path: string) => boolean

/** Routes that hand out tokens and answers of their own: in production a list must say who may call them. */
const guarded = ['/api/auth/', '/api/sdk/', '/socket.io/']

/** With no list any origin may send events. */
export function toOriginRule(origins: readonly string[], isProduction: boolean): OriginRule {
  const allowed = new Set(origins)
  if (allowed.size > 0) return (origin) => allowed.has(origin)
  return (_, path) => !isProduction || !guarded.some((prefix) => path.startsWith(prefix))
}

/**
 * CORS for every route and every reply, errors included: the origin is echoed, never `*`, since beacons send
 * credentials. Source: facts of real clients, "Rules that bite", 6.
 */
export function corsPlugin(isAllowed: OriginRule) {
  const origin = (request: Request) => {
    const from = request.headers.get('origin')
    return from !== null && isAllowed(from, parseTarget(request.url).path)
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
