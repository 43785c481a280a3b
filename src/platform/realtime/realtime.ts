import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { createActions } from './actions.ts'
import type { RedisStreams } from './adapter-client.ts'
import { createReception, sessionRoom } from './authenticate.ts'
import { toCorsHeaders } from './cors.ts'
import { createConversation } from './dispatch.ts'
import { createVoice } from './emitter.ts'
import { createEnding } from './ending.ts'
import { createEngine, type EngineData, type EngineServer } from './engine.ts'
import { createDoor, type Door } from './handshake.ts'
import type { Gate, Identity } from './identity.ts'
import { createIo } from './io.ts'
import { defaultLimits, type RealtimeLimits } from './limits.ts'
import { createMembers } from './members.ts'
import type { Announcement } from './messages.ts'
import { createTally, type RealtimeStats } from './tally.ts'

/** Socket.IO on a server's own port. Source: contract, section 3; spec README, "Realtime". */
export type Realtime = Door & {
  /** For `Bun.serve`, whose requests under `/socket.io` go to `handleRequest`. */
  websocket: Bun.WebSocketHandler<EngineData>
  /** Tells every reader of `system:notifications`, on every node. */
  announce(announcement: Announcement): void
  /** Ends the sockets of a revoked session, on every node. */
  endSession(session: string): void
  stats(): RealtimeStats
  /** Takes connections, and looks after those it has. */
  isHealthy(): boolean
  /** Takes no new connection, announces the shutdown, and closes all. Clients connect again by themselves. */
  close(): Promise<void>
}

export type RealtimeParts<I extends Identity> = {
  gate: Gate<I>
  isAllowedOrigin: (origin: string) => boolean
  clientIp: (request: Request, server: EngineServer) => string
  waitSeconds: (clientIp: string) => number | Promise<number>
  /** Shares rooms with other nodes, and lets lost connections catch up. */
  cluster?: { redis: RedisStreams; prefix: string } | undefined
  limits?: Partial<RealtimeLimits>
  log: Log
  now: Clock
}

/** How long the farewell may take to reach everybody. */
const farewellMsMax = 1000

/** A watch over the sockets that is later than this is stuck. */
const sweepMsMax = 10_000

export function createRealtime<I extends Identity>(parts: RealtimeParts<I>): Realtime {
  const { gate, isAllowedOrigin, log, now } = parts
  const limits: RealtimeLimits = { ...defaultLimits, ...parts.limits }
  const tally = createTally()
  const headersOf = (request: Request) => toCorsHeaders(request, isAllowedOrigin)
  const onCut = (why: string) => tally.note('ended', why)
  const engine = createEngine({ ...parts, ...limits, headersOf, onCut })
  const { io, close: closeIo } = createIo({ ...parts, engine, tally })
  const voice = createVoice({ io, now })
  const end = createEnding({ engine, voice, tally, log })
  const members = createMembers({ engine, limits, isCurrent: gate.isCurrent, end, now })
  const actions = createActions({ voice, limits, now, onPublished: () => tally.add('published') })
  const onFault = (code: string) => tally.note('faults', code)
  const converse = createConversation({ actions, voice, expel: end, onFault, log, now })
  createReception({ io, gate, voice, members, limits, engine, converse, tally, log })
  const sweeping = setInterval(members.sweep, limits.sweepMs)
  sweeping.unref()

  let closing = false
  const hasRoom = () => !closing && engine.open() < limits.socketsMax
  const onRefused = (reason: string) => tally.note('refused', reason)
  return {
    ...createDoor({ ...parts, engine, headersOf, hasRoom, onRefused }),
    websocket: engine.websocket,
    announce: (announcement) => voice.announce(announcement),
    endSession(session) {
      voice.authErrorIn(sessionRoom(session), 'token_revoked')
      io.in(sessionRoom(session)).disconnectSockets(true)
    },
    stats: () => ({
      sockets: members.size,
      subscriptions: members.subscriptions(),
      connections: engine.begun(),
      ...tally.read(),
    }),
    isHealthy: () => hasRoom() && now() - members.sweptMs() < sweepMsMax,
    async close() {
      closing = true
      clearInterval(sweeping)
      voice.announce({ level: 'warning', message: 'the server is shutting down' }, { here: true })
      await engine.flushed(farewellMsMax)
      await closeIo()
    },
  }
}
