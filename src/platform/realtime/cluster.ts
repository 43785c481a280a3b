import { createAdapter } from '@socket.io/redis-streams-adapter'
import { blockMs, createAdapterClient, type RedisStreams, readCount } from './adapter-client.ts'
import type { Io } from './protocol.ts'
import { holdBack } from './recovery.ts'

export type Cluster = {
  adapter: (namespace: Io['sockets']) => Io['sockets']['adapter']
  close(): void
}

/** How long a lost connection may be taken up again. */
export const recoveryMsMax = 120_000
/** Messages kept for nodes that lag and for connections that come back. */
const streamLengthMax = 10_000

/** Rooms across nodes by a Redis stream, which also lets a lost connection catch up on what it missed. */
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
    // Socket.IO calls it with `new`, which an arrow function does not allow.
    adapter: function adapter(namespace) {
      const made = create(namespace) as Io['sockets']['adapter']
      holdBack(made)
      return made
    },
    close,
  }
}
