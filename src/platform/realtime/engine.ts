import { Server as BunEngine, type BunWebSocket, type WebSocketData } from '@socket.io/bun-engine'
import type { Clock } from '../../core/clock.ts'
import { createBucket, frameBytesMax, packetsBurst, packetsPerSecond } from './limits.ts'

/** The type of `ws.data`, for the caller of `Bun.serve`. */
export type EngineData = WebSocketData
export type EngineServer = Bun.Server<EngineData>

/**
 * An Engine.IO connection, not yet authenticated. Declares the members that the engine's types
 * lack.
 */
export type TransportConnection = {
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
  /** Connections that are open now. */
  open(): number
  /** Connections that were opened since the start. */
  opened(): number
  addressOf(connection: TransportConnection): string
  /** Bytes in the send buffer of a connection. */
  bufferedBytes(connection: TransportConnection): number
  /** Ends a connection at once and discards its send buffer. */
  terminate(connection: TransportConnection): void
  /**
   * Resolves when the write buffers of all connections are empty, or after `msMax`. A write buffer
   * holds packets while a connection changes its transport and between two polls.
   */
  flushed(msMax: number): Promise<void>
}

/**
 * Below the HTTP server's idle timeout of 30 s: Bun must not close a poll before it is answered.
 */
const pingIntervalMs = 25_000
const pingTimeoutMs = 20_000

/**
 * Engine.IO on Bun's sockets. The engine itself ignores a full send buffer. Here a connection is
 * terminated when its send buffer exceeds `bufferedBytesMax` (`slow`) or when it sends too many
 * packets (`flood`).
 */
export function createEngine({
  headersOf,
  clientIp,
  bufferedBytesMax,
  onTerminated,
  now,
}: {
  /** Headers of every reply, such as CORS. */
  headersOf: (request: Request) => Record<string, string>
  clientIp: (request: Request, server: EngineServer) => string
  bufferedBytesMax: number
  onTerminated: (why: 'slow' | 'flood') => void
  now: Clock
}): Engine {
  const raw = createRaw(headersOf)
  const sockets = new WeakMap<object, BunWebSocket>()
  const requestIps = new WeakMap<Request, string>()
  const ips = new WeakMap<TransportConnection, string>()
  const connections = new Set<TransportConnection>()
  let opened = 0

  raw.on('connection', (socket, request) => {
    const connection = socket as unknown as TransportConnection
    const takePacket = createBucket({ perSecond: packetsPerSecond, burst: packetsBurst })
    ips.set(connection, requestIps.get(request) ?? '')
    connections.add(connection)
    opened += 1
    connection.on('close', () => void connections.delete(connection))
    connection.on('packet', () => {
      if (takePacket(now())) return
      onTerminated('flood')
      terminate(connection)
    })
  })

  /** Not `connection.close()`: it waits until the client has read its send buffer. */
  function terminate({ transport }: TransportConnection): void {
    const ws = sockets.get(transport)
    if (ws) ws.terminate()
    else transport.close()
  }

  function onSlow(ws: BunWebSocket): void {
    onTerminated('slow')
    ws.terminate()
  }

  return {
    raw,
    handle(request, server) {
      // After the upgrade Bun no longer knows the address of the request.
      requestIps.set(request, clientIp(request, server))
      return raw.handleRequest(request, server)
    },
    websocket: {
      open(ws) {
        const { transport } = ws.data
        sockets.set(transport, ws)
        transport.onOpen(withSlowCheck(ws, onSlow))
      },
      message: (ws, message) => raw.onWebSocketMessage(ws, message),
      close: (ws, code, reason) => raw.onWebSocketClose(ws, code, reason),
      maxPayloadLength: frameBytesMax,
      backpressureLimit: bufferedBytesMax,
      // Engine.IO pings every 25 s, so a silent connection has missed two pings.
      idleTimeout: 60,
    },
    open: () => connections.size,
    opened: () => opened,
    addressOf: (connection) => ips.get(connection) ?? '',
    bufferedBytes: (connection) =>
      sockets.get(connection.transport)?.getBufferedAmount() ?? toBytes(connection.writeBuffer),
    terminate,
    flushed: (msMax) => untilFlushed(connections, msMax),
  }
}

const flushPollMs = 10

async function untilFlushed(
  connections: ReadonlySet<TransportConnection>,
  msMax: number,
): Promise<void> {
  const endMs = performance.now() + msMax
  const isWaiting = ({ writeBuffer }: TransportConnection) => writeBuffer.length > 0
  while (performance.now() < endMs && connections.values().some(isWaiting))
    await new Promise((resolve) => setTimeout(resolve, flushPollMs))
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

/**
 * Wraps the three members that the engine uses. Bun's `send` returns 0 if `backpressureLimit` made
 * it drop the message.
 */
function withSlowCheck(ws: BunWebSocket, onSlow: (ws: BunWebSocket) => void): BunWebSocket {
  const checked = {
    get readyState() {
      return ws.readyState
    },
    send(data: string | Uint8Array) {
      if (ws.send(data) === 0 && ws.readyState === WebSocket.OPEN) onSlow(ws)
    },
    close: () => ws.close(),
  }
  return checked as unknown as BunWebSocket
}

function toBytes(packets: TransportConnection['writeBuffer']): number {
  let bytes = 0
  for (const { data } of packets) bytes += data?.length ?? 0
  return bytes
}
