import { join } from 'node:path'
import { freePort } from '../support/port.ts'
import { type Service, serviceFolder, startService } from './service.ts'

export type ClickHouseService = Service & { readonly url: string }

/**
 * A writable embedded ClickHouse over HTTP, on a free port of 127.0.0.1. Its data is in a temporary
 * folder, or in `path`, which is kept.
 */
export async function startClickHouse(
  given: { path?: string | undefined } = {},
): Promise<ClickHouseService> {
  const port = freePort()
  const folder = serviceFolder('clickhouse')
  const cli = join(import.meta.dir, '..', '..', 'src', 'cli', 'clickhouse.ts')
  const place = ['--port', String(port), '--path', given.path ?? join(folder, 'data')]
  const service = await startService({
    name: 'clickhouse',
    command: [process.execPath, cli, ...place],
    folder,
    isReady: (log) => /^clickhouse http:\S+$/m.test(log),
    readyMsMax: 30_000,
  })
  return Object.assign(service, { url: `http://127.0.0.1:${port}` })
}
