import { loadChdb, openEmbeddedClickHouse } from '../../../src/delivery/clickhouse/embedded.ts'
import { migrate } from '../../../src/delivery/clickhouse/schema.ts'

/**
 * Migrates the embedded ClickHouse in a folder, and kills itself before or during a statement:
 * `bun migration-process.ts FOLDER QUERY [STATEMENT before|during]`. Without a statement it migrates
 * to the end and prints a line of JSON: the statements, the rows of the query and the tables.
 */
const [path = '', query = '', kill, when] = process.argv.slice(2)
const clickhouse = openEmbeddedClickHouse(await loadChdb(), path)
const statements: string[] = []
const die = () => process.kill(process.pid, 'SIGKILL')

await migrate(
  {
    ...clickhouse,
    async command(sql, signal, longId) {
      statements.push(sql)
      const isLast = statements.length === Number(kill)
      if (isLast && when === 'before') die()
      const running = clickhouse.command(sql, signal, longId)
      if (isLast) setTimeout(die, Math.random() * 8)
      await running
      if (isLast) die()
    },
  },
  { EVENTS_TTL_DAYS: 0 },
)
const rows = await clickhouse.query(query)
const found = await clickhouse.query<{ name: string }>(
  'SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name',
)
const tables = found.map(({ name }) => name)
console.log(JSON.stringify({ statements, rows, tables }))
await clickhouse.close()
process.exit()
