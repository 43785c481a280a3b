import { requireCommand } from './install.ts'
import { freePort } from './port.ts'
import { type Service, serviceFolder, startService } from './service.ts'

export type RedisService = Service & { readonly url: string }

export type RedisOptions = {
  /** `no` forgets everything when it is killed, as a cache would; `always` keeps what it confirmed. */
  appendFsync?: 'no' | 'always'
  /** One node of a Redis Cluster that is yet to be formed. */
  cluster?: boolean
}

/** Debian's redis-server on a free port of 127.0.0.1, in a folder of its own. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisService> {
  await requireCommand('redis-server', 'redis-server')
  const port = await freePort()
  const folder = serviceFolder('redis')
  const settings = {
    port,
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    appendonly: options.appendFsync === 'always' ? 'yes' : 'no',
    appendfsync: options.appendFsync ?? 'no',
    'cluster-enabled': options.cluster ? 'yes' : 'no',
  }
  const service = await startService({
    name: 'redis',
    command: ['redis-server', ...Object.entries(settings).flatMap(toArgument)],
    folder,
    isReady: (log) => log.includes('Ready to accept connections'),
    readyMsMax: 10_000,
  })
  return withUrl(service, `redis://127.0.0.1:${port}`)
}

function toArgument([name, value]: [string, string | number]): string[] {
  return [`--${name}`, String(value)]
}

/** Adds to the service itself: its `pid` changes with each restart, which a copy would miss. */
function withUrl(service: Service, url: string): RedisService {
  return Object.assign(service, { url })
}
