import type { Reply } from '../core/protocol.ts'
import type { EngineData } from '../platform/realtime/engine.ts'
import { createIsSoundUrl, parseTarget } from './incoming.ts'
import {
  type Listening,
  type ListenOptions,
  type SocketRoute,
  startListening,
  toUnsoundRoutes,
  unsoundUrl,
} from './listen.ts'
import { type Refuse, type Trace, toRequestFault } from './respond.ts'

const bodyBytesMax = 1024 * 1024
const json = { 'content-type': 'application/json' }

/** Socket.IO on its own port: with WORKERS, its polling sessions cannot move between processes. */
export function listenRealtime(
  { socket, isLeaving, refuse, trace }: RealtimeListener,
  { port, hostname, tls, idleSeconds }: ListenOptions,
): Listening {
  const isSoundUrl = createIsSoundUrl()
  return startListening({ port, hostname, setting: 'REALTIME_PORT' }, () =>
    Bun.serve<EngineData>({
      port,
      hostname,
      ...(tls ? { tls } : {}),
      idleTimeout: idleSeconds,
      maxRequestBodySize: bodyBytesMax,
      routes: toUnsoundRoutes(refuse),
      fetch(request, server) {
        if (!isSoundUrl(request.url)) return refuse({ request, server }, unsoundUrl)
        const { path } = parseTarget(request.url)
        if (path === '/socket.io' || path.startsWith('/socket.io/'))
          return trace({ request, server }, socket.handleRequest(request, server))
        if (!healthPaths.has(path)) return refuse({ request, server }, noRoute)
        const isServing = path === '/_liveness' || !isLeaving()
        return refuse({ request, server }, toHealth(isServing && socket.isHealthy()))
      },
      websocket: socket.websocket,
    }),
  )
}

type RealtimeListener = {
  socket: SocketRoute & { isHealthy(): boolean }
  /** The process stops soon: it is unready, and serves until then. */
  isLeaving(): boolean
  refuse: Refuse
  trace: Trace
}

const noRoute = toRequestFault('not_found', 'this port serves Socket.IO only')
const healthPaths = new Set(['/', '/health', '/_readiness', '/_liveness'])

const toHealth = (isHealthy: boolean): Reply =>
  isHealthy
    ? { status: 200, body: '{"status":"ok"}' }
    : { status: 503, body: '{"status":"unavailable"}', reason: 'unavailable' }

/** The reply of a worker to Socket.IO requests: it names the port of the realtime process. */
export function createSocketElsewhere({ websocket }: SocketRoute, port: number): SocketRoute {
  const error = `Socket.IO is on port ${port}`
  const headers = { ...json, 'access-control-allow-origin': '*' }
  return {
    websocket,
    handleRequest: async () => Response.json({ error }, { status: 404, headers }),
  }
}
