import { Server } from 'socket.io'
import { jsonGuard } from '../../core/json-guard.ts'
import type { RedisStreams } from '../../redis/redis.ts'
import { createCluster, recoveryMsMax } from './cluster.ts'
import type { RealtimeCounters } from './counters.ts'
import type { Engine } from './engine.ts'
import { type FanOut, spreadFanOut } from './fan-out.ts'
import type { Io } from './messages.ts'
import { heavyEvent, isHeavy } from './packet-weight.ts'

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
}): { io: Io; fanOut: FanOut; close(): Promise<void> } {
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
  const fanOut = spreadFanOut(io, counters)
  return {
    io,
    fanOut,
    async close() {
      await io.close()
      cluster?.close()
    },
  }
}

/**
 * Packets are JSON of strangers: the decoder parses them by the guard. A packet whose texts collide
 * is invalid, which closes its connection. A message that would hold the thread for too long is
 * replaced by `heavyEvent`.
 */
function guardDecoder(io: Io): void {
  const server = io as unknown as WithParser
  const { Decoder, ...parser } = server._parser
  class GuardedDecoder extends Decoder {
    override tryParse(text: string): unknown {
      if (isHeavy(text)) return [heavyEvent]
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
