import { freePort } from '../support/port.ts'
import { requireCommand } from './install.ts'
import { type Service, serviceFolder, startService } from './service.ts'

export type RedisService = Service & { readonly url: string }

/** Debian's redis-server on a free port of 127.0.0.1. It holds data in memory only: a kill loses it. */
export async function startRedis(): Promise<RedisService> {
  await requireCommand('redis-server', 'redis-server')
  const port = freePort()
  const folder = serviceFolder('redis')
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  const service = await startService({
    name: 'redis',
    command: ['redis-server', ...place, '--save', '', '--appendonly', 'no'],
    folder,
    isReady: (log) => log.includes('Ready to accept connections'),
    readyMsMax: 30_000,
  })
  // Added to the service itself: its `pid` changes with each restart, which a copy would miss.
  return Object.assign(service, { url: `redis://127.0.0.1:${port}` })
}
