import { withTimeLimit } from '../../core/async.ts'
import type { RedisReader, RedisStreams } from '../../redis/redis.ts'

type Value = string | number

/** Bounds of one blocking read. A message may have a megabyte, so the count is small. */
export const blockMs = 5000
export const readCount = 100
/**
 * The adapter recovers a connection in at most 100 reads. Together they must cover the stream of
 * about 10 000 messages.
 */
const catchUpCount = 200
/** A blocking read that takes longer than this uses a dead connection. */
const lateMs = 2 * blockMs
const pauseMs = 500

/**
 * The ioredis commands that the Redis Streams adapter calls. The adapter also subscribes to pub/sub
 * channels for requests between nodes. This server sends no such request, so `subscribe` and
 * `publish` do nothing.
 */
export function createAdapterClient(redis: RedisStreams, onFailure: () => void) {
  const readers = new Set<RedisReader>()

  function withFailureCount<T>(call: Promise<T>): Promise<T> {
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
      xadd: (values: Value[]) => withFailureCount(redis.call('XADD', values)),
      xrange: (stream: string, start: string, end: string) =>
        redis.call('XRANGE', [stream, start, end, 'COUNT', catchUpCount]),
      // The adapter does not handle a rejection of this promise.
      set: (...values: Value[]) => withFailureCount(redis.call('SET', values)).catch(() => {}),
      publish: async () => 0,
      multi: () => toGetAndDelete(redis),
    },
    close() {
      for (const reader of readers) reader.close()
    },
  }
}

/**
 * Connects at the first read: the adapter also creates a client for pub/sub only, which needs no
 * connection.
 */
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
        // The adapter retries at once. Without this pause it would spin while Redis is unavailable.
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

/**
 * Converts a reply to RESP2's `[[stream, entries]]`. RESP3 replies with a map: clients return it
 * flat or as an object.
 */
function toPairs(reply: unknown): unknown[] | null {
  if (reply === null || reply === undefined) return null
  if (!Array.isArray(reply)) return Object.entries(reply)
  return Array.isArray(reply[0]) ? reply : [reply]
}

/**
 * The adapter's transaction of `GET` and `DEL`, as one GETDEL: a lost session can be recovered only
 * once.
 */
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
