import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Identity } from '../auth/identity.ts'
import type { RealtimeCounters } from './counters.ts'
import type { Emitter } from './emitter.ts'
import type { Engine, TransportConnection } from './engine.ts'
import { type Bucket, createBucket, type RealtimeLimits } from './limits.ts'
import type { IoSocket } from './messages.ts'

/** The authenticated sockets of this node. */
export type Members = {
  add(member: Member): void
  remove(socketId: string): void
  readonly size: number
  subscriptions(): number
  /**
   * Ends every socket whose token, heartbeat or permissions have expired, or whose send buffer is
   * too large.
   */
  sweep(): void
  /** Makes the next sweep check every identity: call it when the projects file has changed. */
  checkIdentities(): void
  /** The time of the last sweep, in ms since 1970. */
  sweptMs(): number
}

/** An authenticated socket. */
export type Member = {
  socket: IoSocket
  connection: TransportConnection
  identity: Identity
  ip: string
  /** Channels that the client subscribed to. */
  topics: Set<string>
  takeMessage: Bucket
  takeBytes: Bucket
  takeStrike: Bucket
  /**
   * Time of the last heartbeat. Undefined while the client has sent none; Engine.IO pings then
   * suffice.
   */
  heartbeatMs: number | undefined
}

/** Why the server ends a live socket. */
export type EndReason = 'token_expired' | 'token_revoked' | 'flood' | 'heartbeat_missed' | 'slow'

/** Measured: `isCurrent` takes 1 to 2 µs an identity, so only every fifth sweep calls it. */
const sweepsPerIdentityCheck = 5

export function createMembers({
  engine,
  limits,
  isCurrent,
  end,
  now,
}: {
  engine: Engine
  limits: RealtimeLimits
  isCurrent: (identity: Identity) => boolean
  end: (member: Member, why: EndReason) => void
  now: Clock
}): Members {
  const members = new Map<string, Member>()
  let sweeps = 0
  let isCheckDue = false
  let sweptMs = now()

  function sweep(): void {
    const nowMs = now()
    sweptMs = nowMs
    sweeps += 1
    const checksIdentity = isCheckDue || sweeps % sweepsPerIdentityCheck === 0
    isCheckDue = false
    for (const member of members.values()) {
      const why = findEndReason(member, { nowMs, limits })
      if (why) end(member, why)
      else if (checksIdentity && !isCurrent(member.identity)) end(member, 'token_revoked')
    }
    endSlowest()
  }

  /**
   * Bounds the send buffers of all sockets together. The sockets with the largest buffers are ended
   * first.
   */
  function endSlowest(): void {
    const waiting: { member: Member; bytes: number }[] = []
    let total = 0
    for (const member of members.values()) {
      const bytes = engine.bufferedBytes(member.connection)
      if (bytes > 0) waiting.push({ member, bytes })
      total += bytes
    }
    waiting.sort((a, b) => b.bytes - a.bytes)
    for (const { member, bytes } of waiting) {
      if (bytes <= limits.bufferedBytesMax && total <= limits.bufferedBytesTotalMax) return
      total -= bytes
      end(member, 'slow')
    }
  }

  return {
    add: (member) => void members.set(member.socket.id, member),
    remove: (socketId) => void members.delete(socketId),
    get size() {
      return members.size
    },
    subscriptions() {
      let count = 0
      for (const { topics } of members.values()) count += topics.size
      return count
    },
    sweep,
    checkIdentities() {
      isCheckDue = true
    },
    sweptMs: () => sweptMs,
  }
}

export function createMember({
  socket,
  identity,
  ip,
  limits,
}: {
  socket: IoSocket
  identity: Identity
  ip: string
  limits: RealtimeLimits
}): Member {
  return {
    socket,
    connection: toConnection(socket),
    identity,
    ip,
    topics: new Set(),
    takeMessage: createBucket({ perSecond: limits.messagesPerSecond, burst: limits.messagesBurst }),
    takeBytes: createBucket({ perSecond: limits.bytesPerSecond, burst: limits.bytesBurst }),
    takeStrike: createBucket({ perSecond: 1, burst: limits.strikesMax }),
    heartbeatMs: undefined,
  }
}

/**
 * Builds the function that ends a socket. A Socket.IO client reconnects after its transport closed,
 * but not after `disconnect`. So `slow` and `heartbeat_missed` close the transport, and the other
 * reasons disconnect.
 */
export function createEndSocket({
  engine,
  emitter,
  counters,
  log,
}: {
  engine: Engine
  emitter: Emitter
  counters: RealtimeCounters
  log: Log
}): (member: Member, why: EndReason) => void {
  return (member, why) => {
    const { socket, connection, ip } = member
    counters.incrementReason('ended', why)
    log.warn({ socket: socket.id, ip, why }, 'socket ended')
    if (why === 'slow' || why === 'heartbeat_missed') return engine.terminate(connection)
    if (why !== 'flood') emitter.authError(socket, why)
    socket.disconnect(true)
  }
}

/**
 * Socket.IO declares the connection of its default engine. The object is one of the engine it was
 * bound to.
 */
export function toConnection(socket: IoSocket): TransportConnection {
  return socket.conn as unknown as TransportConnection
}

function findEndReason(
  { identity, heartbeatMs }: Member,
  { nowMs, limits }: { nowMs: number; limits: RealtimeLimits },
): 'token_expired' | 'heartbeat_missed' | undefined {
  if (identity.expiresAtMs <= nowMs) return 'token_expired'
  if (heartbeatMs !== undefined && nowMs - heartbeatMs > limits.heartbeatMsMax)
    return 'heartbeat_missed'
  return undefined
}
