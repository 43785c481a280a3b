import { createAdapter } from '@socket.io/redis-streams-adapter'
import type { RedisStreams } from '../../redis/redis.ts'
import { blockMs, createAdapterClient, readCount } from './adapter-client.ts'
import { type AccessIdentity, checkAccess, notificationsTopic } from './channels.ts'
import type { Io, LostSession, SocketData } from './messages.ts'

export type Cluster = {
  adapter: (namespace: Io['sockets']) => Io['sockets']['adapter']
  close(): void
}

/** A client may recover a lost connection for this long. */
export const recoveryMsMax = 120_000
/** Messages kept for nodes that lag and for connections that recover. */
const streamLengthMax = 10_000

/**
 * Distributes rooms over all nodes with a Redis stream. A lost connection reads from it what it
 * missed.
 */
export function createCluster({
  redis,
  prefix,
  onFailure,
}: {
  redis: RedisStreams
  prefix: string
  onFailure: () => void
}): Cluster {
  const { client, close } = createAdapterClient(redis, onFailure)
  const create = createAdapter(client, {
    streamName: `${prefix}:realtime`,
    sessionKeyPrefix: `${prefix}:realtime:session:`,
    maxLen: streamLengthMax,
    readCount,
    blockTimeInMs: blockMs,
  })
  return {
    // Not an arrow function: Socket.IO calls it with `new`.
    adapter: function adapter(namespace) {
      const adapter = create(namespace) as Io['sockets']['adapter']
      deferRecovery(adapter)
      return adapter
    },
    close,
  }
}

/** The topics and packets of a lost connection that the same holder may still have. */
export function recover(
  identity: AccessIdentity,
  lost: LostSession | undefined,
): { topics: string[]; packets: (readonly unknown[])[] } {
  if (!lost || lost.holder !== toHolder(identity)) return { topics: [], packets: [] }
  // Every socket joins the notifications anyway, outside its limit of subscriptions.
  const topics = lost.topics.filter(
    (topic) =>
      topic !== notificationsTopic && checkAccess(identity, topic, 'subscribe') === 'allowed',
  )
  const packets = lost.packets.filter(([event, body]) => {
    const { topic } = (body ?? {}) as { topic?: string }
    return event === 'notification' || (event === 'message' && topics.includes(topic ?? ''))
  })
  return { topics, packets }
}

/** The owner of a connection, as kept in `socket.data`. Only the same owner may recover it. */
export function toHolder({ kind, id }: AccessIdentity): string {
  return `${kind}:${id}`
}

/**
 * Socket.IO restores a lost connection before its new token is verified: it would join the rooms
 * and send the missed packets. Keep both in the session's data instead, until `recover` filters
 * them by the new identity.
 */
function deferRecovery(adapter: Io['sockets']['adapter']): void {
  const restore = adapter.restoreSession.bind(adapter)
  adapter.restoreSession = async (pid, offset) => {
    const session = await restore(pid, offset)
    if (!session) return session
    const { holder = '' } = session.data as SocketData
    const lost: LostSession = {
      holder,
      topics: session.rooms,
      packets: session.missedPackets as never,
    }
    return { ...session, rooms: [], missedPackets: [], data: { lost } satisfies SocketData }
  }
}
