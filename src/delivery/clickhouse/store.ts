import { type Log, silentLog } from '../../core/log.ts'
import type { ClickHouse } from './client.ts'
import { assertChdbInstalled, loadChdb, openEmbeddedClickHouse } from './embedded.ts'
import { ClickHouseFailure } from './failure.ts'
import { createHttpClickHouse, databaseOf } from './http.ts'
import { createDatabase, migrate, type SchemaOptions, tuneTables } from './schema.ts'

/**
 * What the ClickHouse sink needs to know. It travels to the shippers' thread, so it is plain data.
 */
export type ClickHouseSettings = SchemaOptions & {
  /** Undefined runs the engine in this process. */
  url: string | undefined
  /** The embedded engine's folder. */
  path: string
  timeoutMs: number
  flushMs: number
  rowsMax: number
  bytesMax: number
}

/** The settings of config.ts that are ClickHouse's. */
export type ClickHouseConfig = {
  CLICKHOUSE_URL?: string
  CLICKHOUSE_CLUSTER?: string
  CLICKHOUSE_FLUSH_MS: number
  CLICKHOUSE_ROWS_MAX: number
  CLICKHOUSE_BYTES_MAX: number
  CLICKHOUSE_TIMEOUT_MS: number
  EVENTS_TTL_DAYS: number
}

export type Store = {
  /** Usable once `prepare` has resolved. */
  clickhouse: ClickHouse
  /**
   * Opens the engine or reaches the server, and makes what is missing there. Rejects with a
   * ClickHouseFailure.
   */
  prepare(): Promise<void>
}

/** Throws, in words for the operator, where settings contradict each other. */
export function toClickHouseSettings(config: ClickHouseConfig, path: string): ClickHouseSettings {
  const { CLICKHOUSE_URL: url, CLICKHOUSE_CLUSTER: cluster } = config
  if (cluster !== undefined && url === undefined)
    throw new Error('CLICKHOUSE_CLUSTER is set, but CLICKHOUSE_URL is not')
  // A macro such as {cluster} is a name as well.
  if (cluster !== undefined && !/^[\w.{}-]+$/.test(cluster))
    throw new Error('CLICKHOUSE_CLUSTER is no name of a cluster')
  if (url !== undefined && !/^https?:\/\/[^/]/.test(url))
    throw new Error('CLICKHOUSE_URL is no http:// or https:// URL')
  if (url === undefined) assertChdbInstalled()
  return {
    url,
    cluster,
    path,
    ttlDays: config.EVENTS_TTL_DAYS,
    timeoutMs: config.CLICKHOUSE_TIMEOUT_MS,
    flushMs: config.CLICKHOUSE_FLUSH_MS,
    rowsMax: config.CLICKHOUSE_ROWS_MAX,
    bytesMax: config.CLICKHOUSE_BYTES_MAX,
  }
}

/** Rejects, in words for the operator, where the embedded engine is wanted and cannot be loaded. */
export async function createStore(settings: ClickHouseSettings, log = silentLog): Promise<Store> {
  const { url } = settings
  return url === undefined ? createEmbeddedStore(settings, log) : createServerStore(url, settings)
}

async function createEmbeddedStore(settings: ClickHouseSettings, log: Log): Promise<Store> {
  const vendor = await loadChdb()
  let engine: ClickHouse | undefined
  const opened = (): ClickHouse => {
    if (!engine) throw new ClickHouseFailure('the embedded engine is not open', { kind: 'busy' })
    return engine
  }
  return {
    clickhouse: {
      stage: (lines) => engine?.stage?.(lines),
      insert: async (rows, signal) => opened().insert(rows, signal),
      query: async (sql, signal) => opened().query(sql, signal),
      command: async (sql, signal) => opened().command(sql, signal),
      close: async () => engine?.close(),
    },
    async prepare() {
      engine ??= openEmbeddedClickHouse(vendor, settings.path, log)
      await migrate(engine, settings)
      await tuneTables(engine)
    },
  }
}

const unknownDatabase = 81

function createServerStore(url: string, settings: ClickHouseSettings): Store {
  const { timeoutMs } = settings
  const clickhouse = createHttpClickHouse({ url, timeoutMs })

  async function prepare(): Promise<void> {
    try {
      await migrate(clickhouse, settings)
    } catch (error) {
      if (!(error instanceof ClickHouseFailure) || error.code !== unknownDatabase) throw error
      await makeDatabase()
      await migrate(clickhouse, settings)
    }
  }

  async function makeDatabase(): Promise<void> {
    const elsewhere = createHttpClickHouse({ url, database: 'default', timeoutMs })
    try {
      await createDatabase(elsewhere, { name: databaseOf(url), cluster: settings.cluster })
    } finally {
      await elsewhere.close()
    }
  }
  return { clickhouse, prepare }
}
