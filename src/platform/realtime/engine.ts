import { Server as BunEngine, type BunWebSocket, type WebSocketData } from '@socket.io/bun-engine'
import type { Clock } from '../../core/clock.ts'
import { jsonGuard } from '../../core/json-guard.ts'
import type { SenderHold } from '../../core/sender-hold.ts'
import {
  createIntake,
  createPace,
  earlyBytesMax,
  frameBytesMax,
  type Intake,
  type RealtimeLimits,
} from './limits.ts'

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
  on(event: 'packet', listener: (packet: TransportPacket) => void): void
  on(event: 'close', listener: (reason: string) => void): void
  write(data: string): unknown
  close(): void
}

type TransportPacket = { type: string; data?: string | Uint8Array }

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
  /** Lifts the bounds of a connection that is not authenticated yet. */
  admit(connection: TransportConnection): void
  /** The largest body of a polling request; small before authentication. */
  bodyBytesMax(sid: string): number
  /**
   * Whether a session may open a websocket. True once: the engine would keep every later one open,
   * without a limit.
   */
  startUpgrade(sid: string): boolean
  /** Terminates the connection of a session that sent too much. */
  endFlood(sid: string): void
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

export type EngineOptions = {
  /** Headers of every reply, such as CORS. */
  headersOf: (request: Request) => Record<string, string>
  clientIp: (request: Request, server: EngineServer) => string
  limits: Pick<RealtimeLimits, 'bufferedBytesMax' | 'bytesPerSecond' | 'bytesBurst'>
  onTerminated: (why: 'slow' | 'flood') => void
  hold: SenderHold
  now: Clock
}

/**
 * Engine.IO on Bun's sockets. The engine itself ignores a full send buffer. Here a connection is
 * terminated when its send buffer exceeds `bufferedBytesMax` (`slow`) or when it sends too many
 * packets or bytes (`flood`).
 */
export function createEngine({
  headersOf,
  clientIp,
  limits,
  onTerminated,
  hold,
  now,
}: EngineOptions): Engine {
  const raw = createRaw(headersOf)
  const sockets = new WeakMap<object, BunWebSocket>()
  const requestIps = new WeakMap<Request, string>()
  const intakes = new WeakMap<TransportConnection, Intake>()
  const ips = new WeakMap<TransportConnection, string>()
  const connections = new Map<string, TransportConnection>()
  let opened = 0

  raw.on('connection', (socket, request) => {
    const connection = socket as unknown as TransportConnection
    const intake = createIntake(limits, now)
    intakes.set(connection, intake)
    ips.set(connection, requestIps.get(request) ?? '')
    connections.set(connection.id, connection)
    opened += 1
    connection.on('close', () => void connections.delete(connection.id))
    connection.on('packet', (packet) => {
      // The decoder parses the packet as soon as this returns.
      if (packet.type === 'message') queueMicrotask(() => noteCollision(connection))
      if (intake.take(packet.data?.length ?? 0)) return
      // The engine closes a connection at an invalid packet. Without this it would still parse it.
      packet.type = 'error'
      endFlood(connection)
    })
  })

  function noteCollision(connection: TransportConnection): void {
    if (jsonGuard.takeCollision()) hold.hold(ips.get(connection) ?? '', now())
  }

  function endFlood(connection: TransportConnection): void {
    onTerminated('flood')
    terminate(connection)
  }

  const intakeOf = (sid: string) => {
    const connection = connections.get(sid)
    return connection && intakes.get(connection)
  }

  /** Not `connection.close()`: it waits until the client has read its send buffer. */
  function terminate({ transport }: TransportConnection): void {
    const ws = sockets.get(transport)
    if (ws) ws.terminate()
    else transport.close()
  }

  return {
    raw,
    handle(request, server) {
      // After the upgrade Bun no longer knows the address of the request.
      requestIps.set(request, clientIp(request, server))
      return raw.handleRequest(request, server)
    },
    websocket: toWebsocketHandler({ raw, sockets, limits, onTerminated }),
    open: () => connections.size,
    opened: () => opened,
    addressOf: (connection) => ips.get(connection) ?? '',
    admit: (connection) => intakes.get(connection)?.admit(),
    bodyBytesMax: (sid) => (intakeOf(sid)?.isEarly() === false ? frameBytesMax : earlyBytesMax),
    startUpgrade: (sid) => intakeOf(sid)?.startUpgrade() ?? true,
    endFlood(sid) {
      const connection = connections.get(sid)
      if (connection) endFlood(connection)
    },
    bufferedBytes: (connection) =>
      sockets.get(connection.transport)?.getBufferedAmount() ?? toBytes(connection.writeBuffer),
    terminate,
    flushed: (msMax) => untilFlushed(connections, msMax),
  }
}

/** `sockets` gets the websocket of each transport. */
function toWebsocketHandler({
  raw,
  sockets,
  limits,
  onTerminated,
}: Pick<EngineOptions, 'limits' | 'onTerminated'> & {
  raw: BunEngine
  sockets: WeakMap<object, BunWebSocket>
}): Bun.WebSocketHandler<EngineData> {
  const end = (why: 'slow' | 'flood') => (ws: BunWebSocket) => {
    onTerminated(why)
    ws.terminate()
  }
  const pace = createPace({
    handle: (ws, message) => raw.onWebSocketMessage(ws, message),
    end: end('flood'),
    ownBytesMax: 2 * limits.bytesBurst,
  })

  return {
    open(ws) {
      const { transport } = ws.data
      // The engine closed the transport before its websocket was open, and would forget the socket.
      if ((transport as unknown as { readyState: string }).readyState !== 'open')
        return ws.terminate()
      sockets.set(transport, ws)
      transport.onOpen(withSlowCheck(ws, end('slow')))
    },
    message: pace,
    close: (ws, code, reason) => raw.onWebSocketClose(ws, code, reason),
    maxPayloadLength: frameBytesMax,
    backpressureLimit: limits.bufferedBytesMax,
    // Engine.IO pings every 25 s, so a silent connection has missed two pings.
    idleTimeout: 60,
  }
}

const flushPollMs = 10

async function untilFlushed(
  connections: ReadonlyMap<string, TransportConnection>,
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
