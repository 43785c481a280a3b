import { Redis } from 'ioredis'
import { withTimeLimit } from '../core/async.ts'
import { isOlder, type ServiceProbe } from '../core/version.ts'

/** Streams, `GETEX` and `SET … GET` of the scripts and of realtime are complete in this version. Tested with it. */
export const redisOldest = '6.2'

/** Asks one node. Several URLs are the nodes of a cluster: each one is asked. */
export async function probeRedis(urls: string, timeoutMs: number): Promise<ServiceProbe> {
  const probes = await Promise.all(urls.split(',').map((url) => probeNode(url.trim(), timeoutMs)))
  return probes.find((one) => 'fault' in one) ?? probes[0]!
}

async function probeNode(url: string, timeoutMs: number): Promise<ServiceProbe> {
  const place = new URL(url).host
  const client = new Redis(url, {
    ...{ lazyConnect: true, connectTimeout: timeoutMs, maxRetriesPerRequest: 0 },
    retryStrategy: () => null,
  })
  let reason = ''
  client.on('error', (error) => {
    reason = error.message
  })
  try {
    const ask = async () => {
      await client.connect()
      return await client.info('server')
    }
    const text = await withTimeLimit(ask(), timeoutMs, () => {
      throw new Error(`no reply within ${timeoutMs} ms`)
    })
    const version = /^redis_version:(\S+)/m.exec(text)?.[1]
    if (version === undefined) return { fault: `${place} did not tell its version; is it Redis?` }
    if (isOlder(version, redisOldest))
      return { fault: `${place} is Redis ${version}; use ${redisOldest} or newer` }
    return { version }
  } catch (error) {
    return { fault: `${place} does not answer: ${reason || (error as Error).message}` }
  } finally {
    client.disconnect()
  }
}
