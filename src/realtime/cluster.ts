import { createAdapter } from '@socket.io/redis-streams-adapter'
import type { Io } from './protocol.ts'
import { holdBack } from './recovery.ts'

/** What nodes share rooms through. */
export type RedisStreams = {
  /** One command. Rejects soon where Redis is away: a message then reaches this node's subscribers only. */
  call(command: string, values: readonly (string | number)[]): Promise<unknown>
  /** A connection of its own for reads that block. It comes back by itself when Redis does. */
  connectReader(): RedisReader
}

export type RedisReader = {
  call(command: string, values: readonly (string | number)[]): Promise<unknown>
  close(): void
}

export type Cluster = {
  adapter: (namespace: Io['sockets']) => Io['sockets']['adapter']
  close(): void
}

/** Messages kept for nodes that lag and for connections that come back. */
const streamLengthMax = 10_000
/** How long a lost connection may be taken up again. */
export const recoveryMsMax = 120_000
/** How many messages one read brings: some of them are a megabyte. */
const readCount = 100
const blockMs = 5000
const pauseMs = 500

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
  const readers: RedisReader[] = []
  const create = createAdapter(toClient(), {
    streamName: `${prefix}:realtime`,
    sessionKeyPrefix: `${prefix}:realtime:session:`,
    maxLen: streamLengthMax,
    readCount,
    blockTimeInMs: blockMs,
  })

  /** The few commands of ioredis that the adapter uses, in the form in which it calls them. */
  function toClient() {
    return {
      options: {},
      duplicate: toReader,
      xadd: (values: (string | number)[]) => noted(redis.call('XADD', values)),
      xrange: (stream: string, start: string, end: string) =>
        redis.call('XRANGE', [stream, start, end, 'COUNT', readCount]),
      // The adapter does not look at what becomes of these, so they must not reject.
      set: (...values: (string | number)[]) => noted(redis.call('SET', values)).catch(() => {}),
      publish: async () => 0,
      multi: toGetAndDelete,
    }
  }

  function noted<T>(call: Promise<T>): Promise<T> {
    call.catch(onFailure)
    return call
  }

  /** `GET` and `DEL` in one transaction: how a session is taken up once only. */
  function toGetAndDelete() {
    let key = ''
    const transaction = {
      get(name: string) {
        key = name
        return transaction
      },
      del: () => transaction,
      exec: async () => [[null, await redis.call('GETDEL', [key])]],
    }
    return transaction
  }

  /** Connects when first read from: the adapter asks for one more, for requests that we never make. */
  function toReader() {
    let reader: RedisReader | undefined
    return {
      on() {},
      subscribe() {},
      async xread(...values: (string | number)[]) {
        reader ??= open()
        try {
          return toPairs(await reader.call('XREAD', values))
        } catch (error) {
          // The adapter asks again at once, and would spin while Redis is away.
          await Bun.sleep(pauseMs)
          throw error
        }
      },
      disconnect() {},
    }
  }

  function open(): RedisReader {
    const reader = redis.connectReader()
    readers.push(reader)
    return reader
  }

  return {
    // Socket.IO calls it with `new`, which an arrow function does not allow.
    adapter: function adapter(namespace) {
      const made = create(namespace) as Io['sockets']['adapter']
      holdBack(made)
      return made
    },
    close() {
      for (const reader of readers) reader.close()
    },
  }
}

/** `[[stream, entries]]`, as RESP2 answers. RESP3 answers a map, which clients give flat or as an object. */
function toPairs(reply: unknown): unknown[] | null {
  if (reply === null || reply === undefined) return null
  if (!Array.isArray(reply)) return Object.entries(reply)
  return Array.isArray(reply[0]) ? reply : [reply]
}
