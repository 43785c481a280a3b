import { Server as BunEngine, type BunWebSocket, type WebSocketData } from '@socket.io/bun-engine'
import type { Clock } from '../../core/clock.ts'
import { createBucket } from './bucket.ts'
import { frameBytesMax, packetsBurst, packetsPerSecond } from './limits.ts'

/** The type of `ws.data`, for whoever calls `Bun.serve`. */
export type EngineData = WebSocketData
export type EngineServer = Bun.Server<EngineData>

/** A transport connection, before anybody has said who they are. What the engine does not declare stands here. */
export type Connection = {
  readonly id: string
  readonly transport: { readonly name: string; close(): void }
  readonly writeBuffer: readonly { data?: string | Uint8Array }[]
  on(event: 'packet', listener: () => void): void
  on(event: 'close', listener: (reason: string) => void): void
  close(): void
}

export type Engine = {
  /** For Socket.IO to bind to. */
  readonly raw: BunEngine
  handle(request: Request, server: EngineServer): Promise<Response>
  websocket: Bun.WebSocketHandler<EngineData>
  /** Connections that are open, and that were begun since the start. */
  open(): number
  begun(): number
  addressOf(connection: Connection): string
  /** Bytes that wait for a connection's client to read. */
  bufferedBytes(connection: Connection): number
  /** Ends a connection at once, with whatever waits for it. */
  cut(connection: Connection): void
  /**
   * Resolves once nothing is held back for anybody, as it is while a connection changes its transport; or when
   * `msMax` is over.
   */
  flushed(msMax: number): Promise<void>
}

/** Less than the 30 s after which Bun closes a silent connection. */
const pingIntervalMs = 25_000
const pingTimeoutMs = 20_000

/**
 * Engine.IO on Bun's own sockets. The engine itself ignores a full send buffer: here a subscriber that lets
 * `bufferedBytesMax` wait is cut off, and so is whoever floods it with packets.
 */
export function createEngine({
  headersOf,
  clientIp,
  bufferedBytesMax,
  onCut,
  now,
}: {
  /** Headers of every reply, such as CORS. */
  headersOf: (request: Request) => Record<string, string>
  clientIp: (request: Request, server: EngineServer) => string
  bufferedBytesMax: number
  onCut: (why: 'slow' | 'flood') => void
  now: Clock
}): Engine {
  const raw = createRaw(headersOf)
  const sockets = new WeakMap<object, BunWebSocket>()
  const senders = new WeakMap<Request, string>()
  const addresses = new WeakMap<Connection, string>()
  const connections = new Set<Connection>()
  let begun = 0

  raw.on('connection', (socket, request) => {
    const connection = socket as unknown as Connection
    const takePacket = createBucket({ perSecond: packetsPerSecond, burst: packetsBurst })
    addresses.set(connection, senders.get(request) ?? '')
    connections.add(connection)
    begun += 1
    connection.on('close', () => void connections.delete(connection))
    connection.on('packet', () => {
      if (takePacket(now())) return
      onCut('flood')
      cut(connection)
    })
  })

  /** `connection.close()` would first wait for what is left to be read. */
  function cut({ transport }: Connection): void {
    const ws = sockets.get(transport)
    if (ws) ws.terminate()
    else transport.close()
  }

  function onSlow(ws: BunWebSocket): void {
    onCut('slow')
    ws.terminate()
  }

  return {
    raw,
    handle(request, server) {
      // Bun knows the peer of a request no more once it was upgraded.
      senders.set(request, clientIp(request, server))
      return raw.handleRequest(request, server)
    },
    websocket: {
      open(ws) {
        const { transport } = ws.data
        sockets.set(transport, ws)
        transport.onOpen(toWatched(ws, onSlow))
      },
      message: (ws, message) => raw.onWebSocketMessage(ws, message),
      close: (ws, code, reason) => raw.onWebSocketClose(ws, code, reason),
      maxPayloadLength: frameBytesMax,
      backpressureLimit: bufferedBytesMax,
      // Engine.IO pings every 25 s: whoever is silent for twice that is gone.
      idleTimeout: 60,
    },
    open: () => connections.size,
    begun: () => begun,
    addressOf: (connection) => addresses.get(connection) ?? '',
    bufferedBytes: (connection) =>
      sockets.get(connection.transport)?.getBufferedAmount() ?? toBytes(connection.writeBuffer),
    cut,
    flushed: (msMax) => untilFlushed(connections, msMax),
  }
}

const flushLookMs = 10

async function untilFlushed(connections: ReadonlySet<Connection>, msMax: number): Promise<void> {
  const endMs = performance.now() + msMax
  const isHeldBack = ({ writeBuffer }: Connection) => writeBuffer.length > 0
  while (performance.now() < endMs && connections.values().some(isHeldBack))
    await new Promise((resolve) => setTimeout(resolve, flushLookMs))
}

function createRaw(headersOf: (request: Request) => Record<string, string>): BunEngine {
  return new BunEngine({
    path: '/socket.io/',
    pingInterval: pingIntervalMs,
    pingTimeout: pingTimeoutMs,
    maxHttpBufferSize: frameBytesMax,
    editResponseHeaders(headers, request) {
      for (const [name, value] of Object.entries(headersOf(request))) headers.set(name, value)
    },
  })
}

/** The three members that the engine uses. Bun answers 0 to a send that the limit made it drop. */
function toWatched(ws: BunWebSocket, onSlow: (ws: BunWebSocket) => void): BunWebSocket {
  const watched = {
    get readyState() {
      return ws.readyState
    },
    send(data: string | Uint8Array) {
      if (ws.send(data) === 0 && ws.readyState === WebSocket.OPEN) onSlow(ws)
    },
    close: () => ws.close(),
  }
  return watched as unknown as BunWebSocket
}

function toBytes(packets: Connection['writeBuffer']): number {
  let bytes = 0
  for (const { data } of packets) bytes += data?.length ?? 0
  return bytes
}
