import type { Server } from 'bun'
import { Elysia } from 'elysia'
import { withTimeLimit } from '../core/async.ts'
import { recordingBodyBytesMax } from '../core/limits.ts'
import type { EngineData } from '../platform/realtime/engine.ts'
import { type App, anyHostname } from './app.ts'
import { corsPlugin, type OriginRule } from './cors.ts'

export type ListenSettings = {
  port: number
  hostname: string
  /** PEM. Bun keeps them while it listens (`reload` ignores `tls`): a renewed certificate needs a restart. */
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
  /** Takes no new connection; resolves once the open ones have been answered, or `withinMs` is over. */
  stop(withinMs: number): Promise<void>
}

/** A connection that says nothing for this long is closed. Above the 25 s between Socket.IO's pings. */
const idleSeconds = 30
/** Bun's own 413 has an empty body: ours comes first, a little below. */
const bodyBytesMax = recordingBodyBytesMax + 1024 * 1024

/**
 * Elysia looks for the path from a fixed place on. Behind `https://` it must be the later one, which
 * suits every host of three letters or more.
 */
const secureHostname = { standardHostname: true }

/**
 * One port, two compositions of the same routes: a request with an Origin passes the CORS plugin, any other
 * does not pay for it (a quarter of a small request, see ARCHITECTURE.md).
 */
export function listen(
  { app, isOriginAllowed, socket }: Listener,
  settings: ListenSettings,
): Listening {
  const { port, hostname, tls, reusePort = false } = settings
  const handler = tls ? secureHostname : anyHostname
  const plain = new Elysia({ name: 'plain', handler }).use(app).compile()
  const browser = new Elysia({ name: 'browser', handler })
    .use(corsPlugin(isOriginAllowed))
    .use(app)
    .compile()
  const route = (request: Request) =>
    request.headers.get('origin') === null && request.method !== 'OPTIONS'
      ? plain.fetch(request)
      : browser.fetch(request)
  const server = Bun.serve<EngineData>({
    port,
    hostname,
    reusePort,
    ...(tls ? { tls } : {}),
    idleTimeout: idleSeconds,
    maxRequestBodySize: bodyBytesMax,
    fetch: (request, bun) =>
      isSocketPath(request.url) ? socket.handleRequest(request, bun) : route(request),
    websocket: socket.websocket,
  })
  // Routes are handed the server through their app, which did not start it itself.
  plain.server = server
  browser.server = server
  return toListening(server, port)
}

/** A server that has begun to listen. `port` is the one that was asked for. */
export function toListening(server: Server<EngineData>, port: number): Listening {
  return {
    port: server.port ?? port,
    url: server.url.href.replace(/\/$/, ''),
    stop: async (withinMs) => {
      const closed = server.stop()
      await withTimeLimit(closed, withinMs, () => {})
      await server.stop(true)
    },
  }
}

/** Before the query; an event's URL may say it behind one. */
function isSocketPath(url: string): boolean {
  const at = url.indexOf('/socket.io/')
  return at > 0 && url.indexOf('/', url.indexOf('://') + 3) === at
}
