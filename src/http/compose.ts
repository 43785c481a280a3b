import { cors } from '@elysiajs/cors'
import type { Server } from 'bun'
import { Elysia } from 'elysia'
import { corsPolicy, needsCredentials, type OriginRule } from '../core/cors.ts'
import { parseTarget, toRawPath } from './incoming.ts'
import { type App, anyHostname } from './routes.ts'

/**
 * Two compositions of the same routes: a request with an Origin passes the CORS plugin, and any other request does not
 * pay for it. Measured: the plugin costs a quarter of a small request
 * (docs/decisions/0004-cors-as-second-composition.md). A POST with events and without an Origin is found by its path
 * alone. Measured: Elysia costs a twentieth of such a request.
 */
export function compose({ routes, posts }: App, { isTls, ...options }: Composition) {
  const handler = isTls ? secureHostname : anyHostname
  const plain = new Elysia({ name: 'plain', handler }).use(routes).compile()
  const browser = new Elysia({ name: 'browser', handler })
    .use(corsPlugin(options))
    .use(routes)
    .compile()
  return {
    route(request: Request, server: Server<unknown>): Response | Promise<Response> {
      const { method } = request
      if (request.headers.get('origin') !== null || method === 'OPTIONS')
        return browser.fetch(request)
      const post = method === 'POST' ? posts.get(toRawPath(request.url)) : undefined
      return post ? post({ request, server }) : plain.fetch(request)
    },
    /** Elysia hands its own server to routes. These apps did not start one, so they are given ours. */
    setServer(server: Server<unknown>) {
      plain.server = server
      browser.server = server
    },
  }
}

type CorsOptions = { isOriginAllowed: OriginRule; nextId(): string }
type Composition = CorsOptions & { isTls: boolean }

/**
 * Elysia looks for the path from a fixed position. Behind `https://` it must be the later one, which fits every host of
 * three letters or more.
 */
const secureHostname = { standardHostname: true }

/** CORS for every route and every reply, errors included. */
function corsPlugin({ isOriginAllowed, nextId }: CorsOptions) {
  const { methods, exposeHeaders, maxAgeSeconds } = corsPolicy
  const origin = (request: Request) => {
    const from = request.headers.get('origin')
    return from !== null && isOriginAllowed(from, parseTarget(request.url).path)
  }
  return new Elysia({ name: 'cors-with-mirrored-headers' })
    .onRequest(({ request, set }) => {
      // With `allowedHeaders: true` the plugin lists all headers of the request, on every reply. A preflight names the
      // headers that it asks for.
      const wanted = request.headers.get('access-control-request-headers')
      if (wanted !== null) set.headers['access-control-allow-headers'] = wanted
      if (needsCredentials(parseTarget(request.url).path) && origin(request))
        set.headers['access-control-allow-credentials'] = 'true'
      // The plugin answers preflights; all other replies have an id.
      if (request.method === 'OPTIONS') set.headers['x-request-id'] = nextId()
    })
    .use(
      cors({
        origin: [origin],
        methods,
        allowedHeaders: [],
        exposeHeaders,
        credentials: false,
        maxAge: maxAgeSeconds,
      }),
    )
}
