import { Server } from 'socket.io'
import type { RedisStreams } from './adapter-client.ts'
import { createCluster, recoveryMsMax } from './cluster.ts'
import type { Engine } from './engine.ts'
import type { Io } from './protocol.ts'
import type { Tally } from './tally.ts'

/** A connection that has not asked for anything by then is closed. */
const connectMsMax = 10_000

/**
 * The Socket.IO server. Only with Redis can a lost connection catch up: the memory of one process would have to
 * keep every message of two minutes, whatever their size.
 */
export function createIo({
  engine,
  cluster: settings,
  tally,
}: {
  engine: Engine
  cluster?: { redis: RedisStreams; prefix: string } | undefined
  tally: Tally
}): { io: Io; close(): Promise<void> } {
  const onFailure = () => tally.add('clusterFailures')
  const cluster = settings && createCluster({ ...settings, onFailure })
  const recovery = { maxDisconnectionDuration: recoveryMsMax, skipMiddlewares: false }
  const io: Io = new Server({
    serveClient: false,
    connectTimeout: connectMsMax,
    ...(cluster ? { adapter: cluster.adapter, connectionStateRecovery: recovery } : {}),
  })
  io.bind(engine.raw)
  countSent(io, tally)
  return {
    io,
    async close() {
      await io.close()
      cluster?.close()
    },
  }
}

/** Every packet to a socket, of this node's making or another's, passes the adapter's `apply`. */
function countSent(io: Io, tally: Tally): void {
  const adapter = io.sockets.adapter as unknown as Applying
  const apply = adapter.apply.bind(adapter)
  adapter.apply = (options, each) =>
    apply(options, (socket) => {
      tally.add('sent')
      each(socket)
    })
}

type Applying = { apply(options: unknown, each: (socket: unknown) => void): void }
