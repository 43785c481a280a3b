import { isOlder, type ServiceProbe } from '../../core/version.ts'
import { insertSettings } from './client.ts'
import { createHttpClickHouse } from './http.ts'

/** The first version that knows every setting of the inserts. */
const clickhouseOldest = '24.4'

type ProbeOptions = { url: string; cluster: string | undefined; timeoutMs: number }

/** Reads only. The database of the URL need not exist: the first start creates it. */
export async function probeClickHouse(options: ProbeOptions): Promise<ServiceProbe> {
  const { url, cluster, timeoutMs } = options
  const place = new URL(url).host
  const server = createHttpClickHouse({ url, database: 'default', timeoutMs })
  try {
    const [row] = await server.query<{ version: string }>('SELECT version() AS version')
    const version = row?.version ?? '0'
    const missing = await findMissingSettings(server)
    if (isOlder(version, clickhouseOldest) || missing.length > 0) {
      const why = missing.length > 0 ? `, and lacks the settings ${missing.join(', ')}` : ''
      return {
        fault: `${place} is ClickHouse ${version}${why}; use ${clickhouseOldest} or newer`,
      }
    }
    if (cluster !== undefined && !(await hasCluster(server, cluster)))
      return {
        fault: `${place} has no cluster "${cluster}" in system.clusters; correct CLICKHOUSE_CLUSTER`,
      }
    return { version }
  } catch (error) {
    return { fault: `${place} does not answer: ${(error as Error).message}` }
  } finally {
    await server.close()
  }
}

type Server = ReturnType<typeof createHttpClickHouse>

async function findMissingSettings(server: Server): Promise<string[]> {
  const names = Object.keys(insertSettings)
  const listed = names.map((name) => `'${name}'`).join(', ')
  const known = await server.query<{ name: string }>(
    `SELECT name FROM system.settings WHERE name IN (${listed})`,
  )
  return names.filter((name) => !known.some((one) => one.name === name))
}

async function hasCluster(server: Server, name: string): Promise<boolean> {
  // A macro such as {cluster}.
  const macro = /^\{(\w+)\}$/.exec(name)?.[1]
  const [table, column] =
    macro === undefined ? ['system.clusters', 'cluster'] : ['system.macros', 'macro']
  const rows = await server.query<object>(
    `SELECT 1 FROM ${table} WHERE ${column} = '${macro ?? name}' LIMIT 1`,
  )
  return rows.length > 0
}
