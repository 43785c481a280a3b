import { Server } from 'socket.io'
import { jsonGuard } from '../../core/json-guard.ts'
import type { RedisStreams } from '../../redis/redis.ts'
import { createCluster, recoveryMsMax } from './cluster.ts'
import type { RealtimeCounters } from './counters.ts'
import type { Engine } from './engine.ts'
import type { Io } from './messages.ts'

/** A connection that has not joined a namespace within this time is closed. */
const connectMsMax = 10_000

/**
 * The Socket.IO server. Connections can recover with Redis only: without it this process would have
 * to keep every message of two minutes in memory, whatever its size.
 */
export function createIo({
  engine,
  cluster: clusterOptions,
  counters,
}: {
  engine: Engine
  cluster?: { redis: RedisStreams; prefix: string } | undefined
  counters: RealtimeCounters
}): { io: Io; close(): Promise<void> } {
  const onFailure = () => counters.increment('clusterFailures')
  const cluster = clusterOptions && createCluster({ ...clusterOptions, onFailure })
  const recovery = { maxDisconnectionDuration: recoveryMsMax, skipMiddlewares: false }
  const io: Io = new Server({
    serveClient: false,
    connectTimeout: connectMsMax,
    ...(cluster ? { adapter: cluster.adapter, connectionStateRecovery: recovery } : {}),
  })
  guardDecoder(io)
  io.bind(engine.raw)
  countSent(io, counters)
  return {
    io,
    async close() {
      await io.close()
      cluster?.close()
    },
  }
}

/**
 * Packets are JSON of strangers: the decoder parses them by the guard. A packet whose texts collide
 * is invalid, which closes its connection.
 */
function guardDecoder(io: Io): void {
  const server = io as unknown as WithParser
  const { Decoder, ...parser } = server._parser
  class GuardedDecoder extends Decoder {
    override tryParse(text: string): unknown {
      try {
        const value = !jsonGuard.collides(text) && jsonGuard.parse(text)
        return !jsonGuard.hasCollision() && value
      } catch {
        return false
      }
    }
  }
  server._parser = { ...parser, Decoder: GuardedDecoder }
}

/** `tryParse` returns false for text that is not JSON. */
type WithParser = { _parser: { Decoder: new () => { tryParse(text: string): unknown } } }

/** Every packet to a socket passes the adapter's `apply`, also one that another node sent. */
function countSent(io: Io, counters: RealtimeCounters): void {
  const adapter = io.sockets.adapter as unknown as WithApply
  const apply = adapter.apply.bind(adapter)
  adapter.apply = (options, each) =>
    apply(options, (socket) => {
      counters.increment('sent')
      each(socket)
    })
}

type WithApply = { apply(options: unknown, each: (socket: unknown) => void): void }
