import { Redis } from 'ioredis'
import type { RedisStreams } from '../../src/redis/redis.ts'

/** Redis connections for realtime that reconnect faster than those of the server. */
export function connectStreams(url: string): RedisStreams & { isReady(): boolean } {
  const retryStrategy = () => 20
  const writer = new Redis(url, { enableOfflineQueue: false, commandTimeout: 200, retryStrategy })
  writer.on('error', () => {})
  return {
    call: (command, values) => writer.call(command, ...values),
    connectReader() {
      const reader = new Redis(url, { maxRetriesPerRequest: null, retryStrategy })
      reader.on('error', () => {})
      return {
        call: (command, values) => reader.call(command, ...values),
        close: () => reader.disconnect(),
      }
    },
    isReady: () => writer.status === 'ready',
    close: () => writer.disconnect(),
  }
}
