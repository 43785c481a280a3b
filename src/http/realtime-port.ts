import type { Server } from 'bun'
import type { EngineData } from '../platform/realtime/engine.ts'
import {
  idleSeconds,
  type Listening,
  type ListenOptions,
  type SocketRoute,
  startListening,
} from './listen.ts'

const bodyBytesMax = 1024 * 1024
const json = { 'content-type': 'application/json' }

/** Socket.IO on its own port: with WORKERS, its polling sessions cannot move between processes. */
export function listenRealtime(
  socket: SocketRoute & { isHealthy(): boolean },
  { port, hostname, tls }: ListenOptions,
): Listening {
  return startListening({ port, hostname, setting: 'REALTIME_PORT' }, () =>
    Bun.serve<EngineData>({
      port,
      hostname,
      ...(tls ? { tls } : {}),
      idleTimeout: idleSeconds,
      maxRequestBodySize: bodyBytesMax,
      fetch: (request, bun) => route(request, bun, socket),
      websocket: socket.websocket,
    }),
  )
}

/** The reply of a worker to Socket.IO requests: it names the port of the realtime process. */
export function createSocketElsewhere({ websocket }: SocketRoute, port: number): SocketRoute {
  const error = `Socket.IO is on port ${port}`
  const headers = { ...json, 'access-control-allow-origin': '*' }
  return {
    websocket,
    handleRequest: async () => Response.json({ error }, { status: 404, headers }),
  }
}

function route(
  request: Request,
  server: Server<EngineData>,
  socket: SocketRoute & { isHealthy(): boolean },
): Promise<Response> | Response {
  const { pathname } = new URL(request.url)
  if (pathname.startsWith('/socket.io/')) return socket.handleRequest(request, server)
  if (!healthPaths.has(pathname)) return new Response('{"error":"not found"}', notFound)
  const isHealthy = socket.isHealthy()
  const status = isHealthy ? 'ok' : 'unavailable'
  return Response.json({ status }, { status: isHealthy ? 200 : 503 })
}

const notFound = { status: 404, headers: json }
const healthPaths = new Set(['/', '/health', '/_readiness', '/_liveness'])
