import { cors } from '@elysiajs/cors'
import type { Server } from 'bun'
import { Elysia } from 'elysia'
import { withTimeLimit } from '../core/async.ts'
import { corsPolicy, type OriginRule } from '../core/cors.ts'
import { recordingBodyBytesMax } from '../core/limits.ts'
import type { EngineData } from '../platform/realtime/engine.ts'
import { parseTarget } from './incoming.ts'
import { type App, anyHostname } from './routes.ts'

export type ListenOptions = {
  port: number
  hostname: string
  /** PEM. Bun's `reload` ignores `tls`, so a renewed certificate needs a restart. */
  tls?: { cert: string; key: string } | undefined
  /** Several processes share one port. */
  reusePort?: boolean
}

/** Socket.IO answers its own requests, CORS included. */
export type SocketRoute = {
  handleRequest(request: Request, server: Server<EngineData>): Promise<Response>
  websocket: Bun.WebSocketHandler<EngineData>
}

export type Listener = { app: App; isOriginAllowed: OriginRule; socket: SocketRoute }

export type Listening = {
  port: number
  url: string
  /** Accepts no new connection. Resolves when open requests are answered, or after `withinMs`. */
  stop(withinMs: number): Promise<void>
}

/** Bun closes a connection that is silent for this long. Socket.IO pings every 25 s, so it must be longer. */
export const idleSeconds = 30
/** A little above the largest body: Bun's own 413 has an empty body, so ours must come first. */
const bodyBytesMax = recordingBodyBytesMax + 1024 * 1024

/** Listens on one port. `replaceApp` hands all later requests to another app. */
export function listen(
  { app, isOriginAllowed, socket }: Listener,
  { port, hostname, tls, reusePort = false }: ListenOptions,
): Listening & { replaceApp(app: App): void } {
  const toRoute = (next: App) => compose(next, { isOriginAllowed, isTls: tls !== undefined })
  let current = toRoute(app)
  const listening = startListening({ port, hostname, setting: 'PORT' }, () =>
    Bun.serve<EngineData>({
      port,
      hostname,
      reusePort,
      ...(tls ? { tls } : {}),
      idleTimeout: idleSeconds,
      maxRequestBodySize: bodyBytesMax,
      fetch: (request, bun) =>
        isSocketPath(request.url) ? socket.handleRequest(request, bun) : current.route(request),
      websocket: socket.websocket,
    }),
  )
  const { server } = listening
  current.setServer(server)
  return {
    ...listening,
    replaceApp(next) {
      const replacement = toRoute(next)
      replacement.setServer(server)
      current = replacement
    },
  }
}

type Place = { port: number; hostname: string; setting: 'PORT' | 'REALTIME_PORT' }

/** Calls `serve`. Throws an Error for the operator, which names `setting`, when the address is in use. */
export function startListening(
  { port, hostname, setting }: Place,
  serve: () => Server<EngineData>,
): Listening & { server: Server<EngineData> } {
  const server = serveOrExplain()
  return {
    server,
    port: server.port ?? port,
    url: server.url.href.replace(/\/$/, ''),
    stop: async (withinMs) => {
      await withTimeLimit(server.stop(), withinMs, () => {})
      await server.stop(true)
    },
  }

  function serveOrExplain() {
    try {
      return serve()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      const reason = `address already in use; stop the other process or set ${setting}`
      throw new Error(`cannot listen on ${hostname}:${port}: ${reason}`)
    }
  }
}

/**
 * Two compositions of the same routes: a request with an Origin passes the CORS plugin, and any other request does not
 * pay for it. Measured: the plugin costs a quarter of a small request
 * (docs/decisions/0004-cors-as-second-composition.md).
 */
function compose(app: App, { isOriginAllowed, isTls }: Composition) {
  const handler = isTls ? secureHostname : anyHostname
  const plain = new Elysia({ name: 'plain', handler }).use(app).compile()
  const browser = new Elysia({ name: 'browser', handler })
    .use(corsPlugin(isOriginAllowed))
    .use(app)
    .compile()
  return {
    route: (request: Request) =>
      request.headers.get('origin') === null && request.method !== 'OPTIONS'
        ? plain.fetch(request)
        : browser.fetch(request),
    /** Elysia hands its own server to routes. These apps did not start one, so they are given ours. */
    setServer(server: Server<EngineData>) {
      plain.server = server
      browser.server = server
    },
  }
}

type Composition = { isOriginAllowed: OriginRule; isTls: boolean }

/**
 * Elysia looks for the path from a fixed position. Behind `https://` it must be the later one, which fits every host of
 * three letters or more.
 */
const secureHostname = { standardHostname: true }

/** CORS for every route and every reply, errors included. */
function corsPlugin(isAllowed: OriginRule) {
  const { methods, exposeHeaders, maxAgeSeconds } = corsPolicy
  const origin = (request: Request) => {
    const from = request.headers.get('origin')
    return from !== null && isAllowed(from, parseTarget(request.url).path)
  }
  return new Elysia({ name: 'cors-with-mirrored-headers' })
    .onRequest(({ request, set }) => {
      // With `allowedHeaders: true` the plugin lists all headers of the request, on every reply. A preflight names the
      // headers that it asks for.
      const wanted = request.headers.get('access-control-request-headers')
      if (wanted !== null) set.headers['access-control-allow-headers'] = wanted
    })
    .use(
      cors({
        origin: [origin],
        methods,
        allowedHeaders: [],
        exposeHeaders,
        credentials: true,
        maxAge: maxAgeSeconds,
      }),
    )
}

/** Only before the query: a later `/socket.io/` may be part of an event's URL. */
function isSocketPath(url: string): boolean {
  const at = url.indexOf('/socket.io/')
  return at > 0 && url.indexOf('/', url.indexOf('://') + 3) === at
}
