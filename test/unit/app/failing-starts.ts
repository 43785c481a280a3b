import { createCloser } from '../../../src/app/closer.ts'
import { startServer } from '../../../src/app/server.ts'
import type { Config } from '../../../src/config/config.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { makeConfig } from './support.ts'

/** Every part of the server that is opened, in the order of opening. The first two need Redis. */
export const partNames = [
  ...['redis streams', 'redis', 'projects', 'auth', 'realtime', 'body deadlines', 'listener'],
  ...['descriptors', 'query server'],
  ...[
    'quotas',
    'dedup',
    'journal',
    'shippers',
    'body thread',
    'orphaned journals',
    'requests',
    'console',
  ],
] as const
export type PartName = (typeof partNames)[number]

/** A server without services: nothing listens at the address of ClickHouse, so it does not wait to ship at its end. */
export function makeServerConfig(dataDir: string, environment: Record<string, string> = {}) {
  const base = { CLICKHOUSE_URL: 'http://127.0.0.1:1', SHUTDOWN_MS_MAX: '0' }
  return makeConfig(dataDir, { ...base, ...environment })
}

export const withRedis = { REDIS_URL: 'redis://127.0.0.1:1' }

/** Starts a server that fails right after it opened the part `name`. Resolves with the error. */
export function startFailingAfter(name: PartName, config: Config): Promise<unknown> {
  const starting = startServer({
    config,
    warnings: [],
    createCloser(log) {
      const closer = createCloser(log)
      return {
        ...closer,
        add(part, close) {
          closer.add(part, close)
          if (part === name) throw new Error(`failure after ${name}`)
        },
      }
    },
  })
  return starting.catch((error) => error)
}

/** As a program it fails after each part in turn. It ends by itself only if nothing keeps the process alive. */
if (import.meta.main) {
  for (const name of partNames) {
    using folder = temporaryFolder()
    const isEarly = partNames.indexOf(name) < partNames.indexOf('quotas')
    const config = makeServerConfig(folder.path, isEarly ? withRedis : {})
    console.log(String(await startFailingAfter(name, config)))
  }
}
