import type { Clock } from '../../core/clock.ts'
import { toCorsHeaders } from '../../core/cors.ts'
import type { Log } from '../../core/log.ts'
import { createSenderHold, type SenderHold } from '../../core/sender-hold.ts'
import type { RedisStreams } from '../../redis/redis.ts'
import type { Identities } from '../auth/identity.ts'
import { createActions } from './actions.ts'
import { authenticateSockets, sessionRoom } from './authenticate.ts'
import { createCounters, type RealtimeStats } from './counters.ts'
import { createDispatch } from './dispatch.ts'
import { createEmitter } from './emitter.ts'
import { createEngine, type EngineData, type EngineServer } from './engine.ts'
import { createHandshake, type Handshake } from './handshake.ts'
import { createIo } from './io.ts'
import { defaultLimits, type RealtimeLimits } from './limits.ts'
import { createEndSocket, createMembers } from './members.ts'
import type { Announcement } from './messages.ts'

/** The realtime channel: Socket.IO on the HTTP server's port (docs/contracts/platform.md). */
export type Realtime = Handshake & {
  /** For `Bun.serve`, whose requests under `/socket.io` go to `handleRequest`. */
  websocket: Bun.WebSocketHandler<EngineData>
  /** Notifies every subscriber of `system:notifications`, on every node. */
  announce(announcement: Announcement): void
  /** Ends the sockets of a revoked session, on every node. */
  endSession(session: string): void
  /** Ends the sockets whose identity the projects file no longer allows, within one sweep. */
  checkIdentities(): void
  stats(): RealtimeStats
  /** True while it takes connections and its sweep runs on time. */
  isHealthy(): boolean
  /**
   * Rejects new connections, sends the shutdown notice, and closes all connections. Clients
   * reconnect by themselves.
   */
  close(): Promise<void>
}

export type RealtimeOptions = {
  auth: Pick<Identities, 'authenticate' | 'isCurrent'>
  /** Refuses every connection: the server issues no tokens. */
  isOff?: boolean
  isAllowedOrigin: (origin: string) => boolean
  clientIp: (request: Request, server: EngineServer) => string
  /** Seconds until this address, or /64, may connect again; 0: at once. */
  waitSeconds: (sender: string) => number | Promise<number>
  /** Takes the addresses whose packets collide. */
  hold?: SenderHold
  /** Shares rooms with other nodes, and enables the recovery of lost connections. */
  cluster?: { redis: RedisStreams; prefix: string } | undefined
  limits?: Partial<RealtimeLimits>
  log: Log
  now: Clock
}

/** The shutdown notice may take this long to reach the clients. */
const shutdownNoticeMsMax = 1000

/** A sweep that is later than this means that the event loop or the sweep hangs. */
const sweepAgeMsMax = 10_000

export function createRealtime(options: RealtimeOptions): Realtime {
  const { auth, isAllowedOrigin, log, now } = options
  const limits: RealtimeLimits = { ...defaultLimits, ...options.limits }
  const counters = createCounters()
  const headersOf = (request: Request) => toCorsHeaders(request, isAllowedOrigin)
  const hold = options.hold ?? createSenderHold()
  const onTerminated = (why: string) => counters.incrementReason('ended', why)
  const engine = createEngine({ ...options, limits, headersOf, onTerminated, hold })
  const { io, fanOut, close: closeIo } = createIo({ ...options, engine, counters })
  const emitter = createEmitter({ io, now })
  const end = createEndSocket({ engine, emitter, counters, log })
  const members = createMembers({ engine, limits, isCurrent: auth.isCurrent, end, now })
  const onPublished = () => counters.increment('published')
  const actions = createActions({ emitter, limits, now, isBusy: fanOut.isFull, onPublished })
  const onFault = (code: string) => counters.incrementReason('faults', code)
  const dispatch = createDispatch({ actions, emitter, end, limits, onFault, log, now })
  authenticateSockets({ io, auth, emitter, members, limits, engine, dispatch, counters, log })
  const sweeping = setInterval(members.sweep, limits.sweepMs)
  sweeping.unref()

  let closing = false
  const hasCapacity = () => !closing && engine.open() < limits.socketsMax
  const onRejected = (reason: string) => counters.incrementReason('refused', reason)
  return {
    ...createHandshake({ ...options, engine, headersOf, hasCapacity, onRejected }),
    websocket: engine.websocket,
    announce: (announcement) => emitter.announce(announcement),
    endSession(session) {
      emitter.authErrorIn(sessionRoom(session), 'token_revoked')
      io.in(sessionRoom(session)).disconnectSockets(true)
    },
    checkIdentities: members.checkIdentities,
    stats: () => ({
      sockets: members.size,
      subscriptions: members.subscriptions(),
      connections: engine.opened(),
      ...counters.read(),
    }),
    isHealthy: () => hasCapacity() && now() - members.sweptMs() < sweepAgeMsMax,
    async close() {
      closing = true
      clearInterval(sweeping)
      const notice = { level: 'warning', message: 'the server is shutting down' } as const
      emitter.announce(notice, { here: true })
      fanOut.flush()
      await engine.flushed(shutdownNoticeMsMax)
      await closeIo()
    },
  }
}
