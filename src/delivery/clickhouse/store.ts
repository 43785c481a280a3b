import { join } from 'node:path'
import type { Config } from '../../config/config.ts'
import { type Log, silentLog } from '../../core/log.ts'
import { openConnection } from '../../embedded/chdb/connection.ts'
import { loadNative } from '../../embedded/chdb/native.ts'
import type { ClickHouse } from './client.ts'
import { assertChdbInstalled, loadChdb, openEmbeddedClickHouse } from './embedded.ts'
import { ClickHouseFailure } from './failure.ts'
import { createHttpClickHouse, databaseOf } from './http.ts'
import { createDatabase, migrate, tuneTables } from './schema.ts'

/**
 * Plain data: it is sent to the delivery thread. Without CLICKHOUSE_URL the embedded ClickHouse is
 * used.
 */
export type ClickHouseSettings = Pick<
  Config,
  Extract<keyof Config, `CLICKHOUSE_${string}`> | 'EVENTS_TTL_DAYS' | 'dataDir'
>

export type Store = {
  /** Usable once `prepare` has resolved. */
  clickhouse: ClickHouse
  /** Opens chDB or connects to the server, and migrates. Rejects with a ClickHouseFailure. */
  prepare(): Promise<void>
}

/**
 * Throws, in words for the operator, if settings contradict each other or chDB is needed but
 * missing.
 */
export function parseClickHouseSettings(settings: ClickHouseSettings): ClickHouseSettings {
  const { CLICKHOUSE_URL: url, CLICKHOUSE_CLUSTER: cluster } = settings
  if (cluster !== undefined && url === undefined)
    throw new Error('CLICKHOUSE_CLUSTER is set, but CLICKHOUSE_URL is not; set it too')
  // A macro such as {cluster} is allowed too.
  if (cluster !== undefined && !/^[\w.{}-]+$/.test(cluster))
    throw new Error(`CLICKHOUSE_CLUSTER "${cluster}" is not a valid name of a cluster`)
  // The message omits the value, which contains a password.
  if (url !== undefined && !/^https?:\/\/[^/]/.test(url))
    throw new Error('CLICKHOUSE_URL does not start with http:// or https:// and a host')
  if (url === undefined) assertChdbInstalled()
  return settings
}

/** Folder of the embedded ClickHouse. */
export const toEmbeddedFolder = (dataDir: string) => join(dataDir, 'clickhouse')

/**
 * Rejects, in words for the operator, if the embedded ClickHouse is configured and cannot be
 * loaded.
 */
export async function createStore(settings: ClickHouseSettings, log = silentLog): Promise<Store> {
  const { CLICKHOUSE_URL: url } = settings
  return url === undefined
    ? createEmbeddedStore(settings, log)
    : createServerStore(url, settings, log)
}

async function createEmbeddedStore(settings: ClickHouseSettings, log: Log): Promise<Store> {
  const vendor = await loadChdb()
  const native = await loadNative()
  let embedded: ClickHouse | undefined
  const opened = (): ClickHouse => {
    if (!embedded)
      throw new ClickHouseFailure('the embedded ClickHouse is not open', { kind: 'busy' })
    return embedded
  }
  return {
    clickhouse: {
      stage: (lines) => embedded?.stage?.(lines),
      insert: async (rows, signal) => opened().insert(rows, signal),
      query: async (sql, signal) => opened().query(sql, signal),
      command: async (...given) => opened().command(...given),
      close: async () => embedded?.close(),
    },
    async prepare() {
      if (!embedded) {
        const path = toEmbeddedFolder(settings.dataDir)
        // The package's connections log to a terminal, unless another one was opened before.
        const first = openConnection(native, path)
        embedded = openEmbeddedClickHouse(vendor, path, log)
        first.close()
      }
      await migrate(embedded, settings, log)
      await tuneTables(embedded)
    },
  }
}

const unknownDatabaseCode = 81

function createServerStore(url: string, settings: ClickHouseSettings, log: Log): Store {
  const { CLICKHOUSE_TIMEOUT_MS: timeoutMs, CLICKHOUSE_CLUSTER: cluster } = settings
  const clickhouse = createHttpClickHouse({ url, timeoutMs })

  async function prepare(): Promise<void> {
    try {
      await migrate(clickhouse, settings, log)
    } catch (error) {
      if (!(error instanceof ClickHouseFailure) || error.code !== unknownDatabaseCode) throw error
      await createOwnDatabase()
      await migrate(clickhouse, settings, log)
    }
  }

  async function createOwnDatabase(): Promise<void> {
    const server = createHttpClickHouse({ url, database: 'default', timeoutMs })
    try {
      await createDatabase(server, { name: databaseOf(url), cluster })
    } finally {
      await server.close()
    }
  }
  return { clickhouse, prepare }
}
