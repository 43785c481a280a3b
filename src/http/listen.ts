import type { Server } from 'bun'
import { Elysia } from 'elysia'
import { withTimeLimit } from '../core/async.ts'
import type { OriginRule } from '../core/cors.ts'
import { recordingBodyBytesMax } from '../core/limits.ts'
import type { Reply } from '../core/protocol.ts'
import type { EngineData } from '../platform/realtime/engine.ts'
import { compose } from './compose.ts'
import { createIsSoundUrl } from './incoming.ts'
import { type Refuse, send, type Trace, toRequestFault } from './respond.ts'
import { type App, anyHostname } from './routes.ts'

export type ListenOptions = {
  port: number
  hostname: string
  /** PEM. Bun's `reload` ignores `tls`, so a renewed certificate needs a restart. */
  tls?: { cert: string; key: string } | undefined
  /** Several processes share one port. */
  reusePort?: boolean
  /** A connection that is silent for so long is closed, at most 255 s. */
  idleSeconds: number
}

/** Socket.IO answers its own requests, CORS included. */
export type SocketRoute = {
  handleRequest(request: Request, server: Server<EngineData>): Promise<Response>
  websocket: Bun.WebSocketHandler<EngineData>
}

export type Listener = {
  app: App
  isOriginAllowed: OriginRule
  socket: SocketRoute
  refuse: Refuse
  trace: Trace
  nextId(): string
}

export type Listening = {
  port: number
  url: string
  /** Closes the connections that wait for their next request. Returns their number. */
  closeIdle(): number
  /** Accepts no new connection. Resolves when open requests are answered, or after `withinMs`. */
  stop(withinMs: number): Promise<void>
}

/** A little above the largest body: Bun's own 413 has an empty body, so ours must come first. */
const bodyBytesMax = recordingBodyBytesMax + 1024 * 1024

/** Listens on one port. `replaceApp` hands all later requests to another app. */
export function listen(
  { app, socket, refuse, trace, ...cors }: Listener,
  { port, hostname, tls, reusePort = false, idleSeconds }: ListenOptions,
): Listening & { replaceApp(app: App): void } {
  const toRoute = (next: App) => compose(next, { ...cors, isTls: tls !== undefined })
  const isSoundUrl = createIsSoundUrl()
  let current = toRoute(app)
  const listening = startListening({ port, hostname, setting: 'PORT' }, () =>
    Bun.serve<EngineData>({
      port,
      hostname,
      reusePort,
      ...(tls ? { tls } : {}),
      idleTimeout: idleSeconds,
      maxRequestBodySize: bodyBytesMax,
      routes: toUnsoundRoutes(refuse),
      fetch(request, server) {
        const { url } = request
        if (!isSoundUrl(url)) return refuse({ request, server }, unsoundUrl)
        if (!isSocketPath(url)) return current.route(request, server)
        return trace({ request, server }, socket.handleRequest(request, server))
      },
      error: () => send(serverFault, cors.nextId()),
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

/** Serves operators: no CORS and no sockets. */
export function listenForOperators(
  { app, refuse }: { app: Elysia; refuse: Refuse },
  { port, hostname, reusePort = false, idleSeconds }: ListenOptions,
): Listening & { replaceApp(app: Elysia): void } {
  const isSoundUrl = createIsSoundUrl()
  const toHandler = (next: Elysia) => new Elysia({ handler: anyHostname }).use(next).compile()
  let current = toHandler(app)
  const listening = startListening({ port, hostname, setting: 'ADMIN_PORT' }, () =>
    Bun.serve<EngineData>({
      port,
      hostname,
      reusePort,
      idleTimeout: idleSeconds,
      routes: toUnsoundRoutes(refuse),
      fetch: (request, server) =>
        isSoundUrl(request.url) ? current.fetch(request) : refuse({ request, server }, unsoundUrl),
    }),
  )
  current.server = listening.server
  return {
    ...listening,
    replaceApp(next) {
      current = toHandler(next)
      current.server = listening.server
    },
  }
}

/** No route has so many segments. */
const segmentsMax = 8

/**
 * Routes of the runtime for paths with a dot segment: only its router sees them, because `request.url` has them resolved.
 * Of a path with more segments than any route has it is not known, so it gets 404.
 */
export function toUnsoundRoutes(refuse: Refuse) {
  const refuseWith = (reply: Reply) => (request: Request, server: Server<EngineData>) =>
    refuse({ request, server }, reply)
  const routes: Record<string, ReturnType<typeof refuseWith>> = {}
  let prefix = ''
  for (let depth = 0; depth < segmentsMax; depth += 1) {
    for (const segment of dotSegments) {
      routes[`${prefix}/${segment}`] = refuseWith(unsoundUrl)
      routes[`${prefix}/${segment}/*`] = refuseWith(unsoundUrl)
    }
    prefix += `/:segment${depth}`
  }
  routes[`${prefix}/*`] = refuseWith(tooDeep)
  return routes
}

const dots = ['.', '%2e', '%2E']
const dotSegments = [...dots, ...dots.flatMap((first) => dots.map((second) => first + second))]
const tooDeep = toRequestFault('not_found', `no route has more than ${segmentsMax} segments`)

export const unsoundUrl = toRequestFault(
  'invalid_url',
  'the URL needs a valid host and no dot segments',
)

const serverFault = toRequestFault('internal_error', 'the server failed')

type Place = { port: number; hostname: string; setting: 'PORT' | 'REALTIME_PORT' | 'ADMIN_PORT' }

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
    closeIdle: () => server.closeIdleConnections(),
    stop: async (withinMs) => {
      await withTimeLimit(server.stop(), withinMs, () => {})
      await server.stop(true)
    },
  }

  function serveOrExplain() {
    try {
      return serve()
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const reason =
        code === 'EADDRINUSE'
          ? `address already in use; stop the other process or set ${setting}`
          : `${message}; check HOST and ${setting}`
      throw new Error(`cannot listen on ${hostname}:${port}: ${reason}`)
    }
  }
}

/** Only before the query: a later `/socket.io/` may be part of an event's URL. */
function isSocketPath(url: string): boolean {
  const at = url.indexOf('/socket.io/')
  return at > 0 && url.indexOf('/', url.indexOf('://') + 3) === at
}
