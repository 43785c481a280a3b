import type { Config } from '../config/config.ts'
import type { Log } from '../core/log.ts'
import { toEmbeddedFolder } from '../delivery/clickhouse/settings.ts'
import { parseEnabledSinks } from '../delivery/create-sinks.ts'
import type { QueryServer } from '../embedded/query-api/server.ts'

type QueryServerParts = { log: Log; openAfter: Promise<void> }

/** The query interface is optional: the server also runs when its port is taken. */
export async function openQueryServer(config: Config, { log, openAfter }: QueryServerParts) {
  const { CLICKHOUSE_URL: url, EMBEDDED_CLICKHOUSE_PORT: port, dataDir } = config
  const chdbPath = toEmbeddedFolder(dataDir)
  if (url || port === 0 || !parseEnabledSinks(config).includes('clickhouse')) return
  const { startQueryServer } = await import('../embedded/query-api/server.ts')
  try {
    return await startQueryServer({ port, chdbPath, log, mode: 'read-only', openAfter })
  } catch (error) {
    warnOfQueries(log, error)
    return
  }
}

export async function reportQueryServer(query: QueryServer | undefined, log: Log): Promise<void> {
  try {
    await query?.opened
    if (query) log.info({ clickhousePort: query.port }, 'the embedded ClickHouse answers queries')
  } catch (error) {
    warnOfQueries(log, error)
  }
}

function warnOfQueries(log: Log, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  log.warn(
    { reason },
    'the embedded ClickHouse cannot be queried; set another EMBEDDED_CLICKHOUSE_PORT, or 0 to turn queries off',
  )
}
