import { type Bucket, createBucket } from './bucket.ts'
import type { Connection } from './engine.ts'
import type { Identity } from './identity.ts'
import type { RealtimeLimits } from './limits.ts'
import type { IoSocket } from './protocol.ts'

/** A socket that was let in, with what is known of it. */
export type Member<I extends Identity = Identity> = {
  socket: IoSocket
  connection: Connection
  identity: I
  ip: string
  /** Channels it subscribed to itself. */
  topics: Set<string>
  takeMessage: Bucket
  takeStrike: Bucket
  /** When its last heartbeat came; undefined for a client that never sent one and lives by pings alone. */
  heartbeatMs: number | undefined
}

export function createMember<I extends Identity>({
  socket,
  identity,
  ip,
  limits,
}: {
  socket: IoSocket
  identity: I
  ip: string
  limits: RealtimeLimits
}): Member<I> {
  return {
    socket,
    connection: toConnection(socket),
    identity,
    ip,
    topics: new Set(),
    takeMessage: createBucket({ perSecond: limits.messagesPerSecond, burst: limits.messagesBurst }),
    takeStrike: createBucket({ perSecond: 1, burst: limits.strikesMax }),
    heartbeatMs: undefined,
  }
}

/** Socket.IO declares another engine's connection; ours is what it was bound to. */
export function toConnection(socket: IoSocket): Connection {
  return socket.conn as unknown as Connection
}

/** Whom a recovered connection must belong to. */
export function toHolder({ kind, id }: Identity): string {
  return `${kind}:${id}`
}

/** Why a live socket has to end, if it has to. Expiry is exact; the rest is looked at in passing. */
export function toEnd(
  { identity, heartbeatMs }: Member,
  { nowMs, limits }: { nowMs: number; limits: RealtimeLimits },
): 'token_expired' | 'heartbeat_missed' | undefined {
  if (identity.expiresAtMs <= nowMs) return 'token_expired'
  if (heartbeatMs !== undefined && nowMs - heartbeatMs > limits.heartbeatMsMax)
    return 'heartbeat_missed'
  return undefined
}
