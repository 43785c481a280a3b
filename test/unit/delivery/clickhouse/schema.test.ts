import { expect, test } from 'bun:test'
import type { ClickHouse } from '../../../../src/delivery/clickhouse/client.ts'
import { migrate } from '../../../../src/delivery/clickhouse/schema.ts'

/** A server without tables. */
function makeServer() {
  const statements: string[] = []
  const clickhouse: ClickHouse = {
    query: async () => [],
    command: async (sql) => void statements.push(sql),
    insert: async () => {},
    close: async () => {},
  }
  return { clickhouse, statements }
}

// The columns derive from core/event.ts. A new column needs a migration of its own, because servers
// that have run migration 1 do not run it again.
test('migration 1 creates the tables as released', async () => {
  const { clickhouse, statements } = makeServer()
  await migrate(clickhouse, { EVENTS_TTL_DAYS: 0 })
  const released = await Bun.file(`${import.meta.dir}/migration-1.sql`).text()
  const created = statements.filter((sql) => sql.startsWith('CREATE')).slice(1)
  expect(`${created.join(';\n\n')};\n`).toBe(released)
})
