import { withTimeLimit } from '../../core/async.ts'

/** What nodes share rooms through. */
export type RedisStreams = {
  /** One command. Rejects soon where Redis is away: a message then reaches this node's subscribers only. */
  call(command: string, values: readonly Value[]): Promise<unknown>
  /** A connection of its own for reads that block. It comes back by itself when Redis does. */
  connectReader(): RedisReader
}

export type RedisReader = {
  call(command: string, values: readonly Value[]): Promise<unknown>
  close(): void
}

type Value = string | number

/** A read blocks at most this long, and brings at most so many messages: some of them are a megabyte. */
export const blockMs = 5000
export const readCount = 100
/** The adapter catches up in a hundred steps: these must span the whole stream, whose length is approximate. */
const catchUpCount = 200
/** A blocking read that is this late asks a dead connection. */
const lateMs = 2 * blockMs
const pauseMs = 500

/**
 * The few commands of ioredis that the Redis Streams adapter uses, in the form in which it calls them. Beside them it
 * wants channels for requests between nodes, of which we make none: those are dumb.
 */
export function createAdapterClient(redis: RedisStreams, onFailure: () => void) {
  const readers = new Set<RedisReader>()

  function noted<T>(call: Promise<T>): Promise<T> {
    call.catch(onFailure)
    return call
  }

  function connectReader(): RedisReader {
    const reader = redis.connectReader()
    readers.add(reader)
    return {
      call: reader.call,
      close() {
        readers.delete(reader)
        reader.close()
      },
    }
  }

  return {
    client: {
      options: {},
      duplicate: () => toBlockingClient(connectReader),
      xadd: (values: Value[]) => noted(redis.call('XADD', values)),
      xrange: (stream: string, start: string, end: string) =>
        redis.call('XRANGE', [stream, start, end, 'COUNT', catchUpCount]),
      // The adapter does not look at what becomes of a session it stores, so this must not reject.
      set: (...values: Value[]) => noted(redis.call('SET', values)).catch(() => {}),
      publish: async () => 0,
      multi: () => toGetAndDelete(redis),
    },
    close() {
      for (const reader of readers) reader.close()
    },
  }
}

/** Connects when first read from: the adapter asks for one more, which only listens to those channels. */
function toBlockingClient(connect: () => RedisReader) {
  let reader: RedisReader | undefined
  return {
    on() {},
    subscribe() {},
    disconnect() {},
    async xread(...values: Value[]) {
      reader ??= connect()
      try {
        return toPairs(await inTime(reader.call('XREAD', values)))
      } catch (error) {
        reader.close()
        reader = undefined
        // The adapter asks again at once, and would spin while Redis is away.
        await Bun.sleep(pauseMs)
        throw error
      }
    },
  }
}

const inTime = <T>(reading: Promise<T>) =>
  withTimeLimit(reading, lateMs, () => {
    throw new Error(`a blocking read was not answered within ${lateMs} ms`)
  })

/** `[[stream, entries]]`, as RESP2 answers. RESP3 answers a map, which clients give flat or as an object. */
function toPairs(reply: unknown): unknown[] | null {
  if (reply === null || reply === undefined) return null
  if (!Array.isArray(reply)) return Object.entries(reply)
  return Array.isArray(reply[0]) ? reply : [reply]
}

/** `GET` and `DEL` of one key in a transaction: how a lost session is taken up once only. */
function toGetAndDelete(redis: RedisStreams) {
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
