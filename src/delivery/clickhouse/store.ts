import { statfsSync } from 'node:fs'
import { type Log, silentLog } from '../../core/log.ts'
import { openConnection } from '../../embedded/chdb/connection.ts'
import { loadNative } from '../../embedded/chdb/native.ts'
import type { ClickHouse } from './client.ts'
import { loadChdb, openEmbeddedClickHouse } from './embedded.ts'
import { ClickHouseFailure } from './failure.ts'
import { createHttpClickHouse, databaseOf } from './http.ts'
import { createDatabase, embeddedSettings, migrate, tuneTables } from './schema.ts'
import { type ClickHouseSettings, toEmbeddedFolder } from './settings.ts'

export type Store = {
  /** Usable once `prepare` has resolved. */
  clickhouse: ClickHouse
  /** Opens chDB or connects to the server, and migrates. Rejects with a ClickHouseFailure. */
  prepare(): Promise<void>
}

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
      assertHasSpace(toEmbeddedFolder(settings.dataDir))
      await migrate(embedded, { ...settings, tableSettings: embeddedSettings }, log)
      await tuneTables(embedded)
    },
  }
}

/** Far above what the definitions of all tables take. */
const freeBytesMin = 2 * 1024 * 1024

/** The embedded ClickHouse loses the definition of a table that it changes on a full disk. */
function assertHasSpace(path: string): void {
  const { bavail, bsize } = statfsSync(path)
  if (bavail * bsize >= freeBytesMin) return
  const text = `${path} has ${bavail * bsize} free bytes; opening the tables needs ${freeBytesMin}`
  throw new ClickHouseFailure(text, { kind: 'busy', reason: 'not_enough_space' })
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
