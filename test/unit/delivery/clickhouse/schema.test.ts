import { expect, test } from 'bun:test'
import { silentLog } from '../../../../src/core/log.ts'
import type { ClickHouse } from '../../../../src/delivery/clickhouse/client.ts'
import { comments, firstWinsComment } from '../../../../src/delivery/clickhouse/comments.ts'
import { migrate } from '../../../../src/delivery/clickhouse/schema.ts'
import { tables } from '../../../../src/delivery/clickhouse/tables.ts'

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
test('a new database gets the tables as released', async () => {
  const { clickhouse, statements } = makeServer()
  await migrate(clickhouse, { EVENTS_TTL_DAYS: 0 })
  const released = await Bun.file(`${import.meta.dir}/new-database.sql`).text()
  const created = statements.filter((sql) => sql.startsWith('CREATE')).slice(1)
  expect(`${created.join(';\n\n')};\n`).toBe(released)
  const versions = statements.filter((sql) => sql.startsWith('INSERT'))
  expect(versions.map((sql) => sql.at(-1))).toEqual(['1', '2', '3', '4', '5', '6'])
})

test('alters no table that is as it should be', async () => {
  const { clickhouse, statements } = makeServer()
  const stored = tables.flatMap(({ name, columns, aliases = {} }) => {
    const { table, columns: texts } = comments[name]
    const all = [...Object.keys(columns), ...Object.keys(aliases)]
    return [
      { place: name, comment: table },
      { place: `${name}.first_wins`, comment: firstWinsComment },
      ...all.map((column) => ({ place: `${name}.${column}`, comment: texts[column]! })),
    ]
  })
  clickhouse.query = async <Row>(sql: string) => (sql.includes('place') ? stored : []) as Row[]
  await migrate(clickhouse, { EVENTS_TTL_DAYS: 0 })
  expect(statements.filter((sql) => sql.startsWith('ALTER'))).toEqual([])
})

test('a database of the version before gets the column of robots, and nothing else is altered', async () => {
  const { clickhouse, statements } = makeServer()
  const toComment = (texts: Readonly<Record<string, string>>, column: string) =>
    column === 'first_wins' ? firstWinsComment : column === 'city' ? 'as before' : texts[column]!
  const stored = tables.flatMap(({ name, columns, aliases = {} }) => {
    const { table, columns: texts } = comments[name]
    const all = [...Object.keys(columns), ...Object.keys(aliases), 'first_wins']
    return [
      { place: name, comment: table },
      ...all
        .filter((column) => column !== 'is_bot')
        .map((column) => ({ place: `${name}.${column}`, comment: toComment(texts, column) })),
    ]
  })
  const applied = [1, 2, 3, 4, 5].map((version) => ({ version }))
  clickhouse.query = async <Row>(sql: string) =>
    (sql.includes('place') ? stored : sql.includes('schema_migrations') ? applied : []) as Row[]
  clickhouse.command = async (sql) => {
    statements.push(sql)
    const comment = comments.link_events.columns.is_bot!
    if (sql.includes('ADD COLUMN')) stored.push({ place: 'link_events.is_bot', comment })
  }
  await migrate(clickhouse, { EVENTS_TTL_DAYS: 0 })
  const said = statements.filter((sql) => sql.startsWith('ALTER'))
  expect(said.map((sql) => sql.replace(/COMMENT '[^']*'/, "COMMENT '…'"))).toEqual([
    "ALTER TABLE link_events ADD COLUMN IF NOT EXISTS is_bot Bool DEFAULT false COMMENT '…'",
    expect.stringMatching(/^ALTER TABLE link_events COMMENT COLUMN IF EXISTS city /),
  ])
})

test('a new database gets the retention when its tables are created', async () => {
  const { clickhouse, statements } = makeServer()
  await migrate(clickhouse, { EVENTS_TTL_DAYS: 9 })
  const ttls = statements.map((sql) => /TTL .*toIntervalDay\((\d+)\)/.exec(sql)?.[1])
  expect(ttls.filter((days) => days !== undefined).slice(0, 4)).toEqual(['9', '9', '9', '90'])
})

test('leaves the tables of a cluster with several shards as they are', async () => {
  const { clickhouse, statements } = makeServer()
  clickhouse.query = async <Row>(sql: string) =>
    (sql.includes('system.clusters') ? [{ shards: '2' }] : []) as Row[]
  const said: string[] = []
  const log = { ...silentLog, warn: (_: object, text: string) => void said.push(text) }
  await migrate(clickhouse, { EVENTS_TTL_DAYS: 0, CLICKHOUSE_CLUSTER: 'c' }, log)
  expect(said).toEqual([expect.stringContaining('several shards')])
  const versions = statements.filter((sql) => sql.startsWith('INSERT'))
  expect(versions.map((sql) => sql.at(-1))).toEqual(['1', '3', '4', '5', '6'])
})

test.each([
  [497, 'Not enough privileges. To execute this query, it is necessary to have CREATE VIEW'],
  [62, 'Syntax error: failed at position 1'],
])(
  'goes on, and says so, if the server refuses statements that no event needs: %p',
  async (code, reason) => {
    const { clickhouse, statements } = makeServer()
    const { command } = clickhouse
    clickhouse.command = async (sql) => {
      if (/COMMENT COLUMN|VIEW|property_/.test(sql)) throw new Error(`Code: ${code}. ${reason}`)
      await command(sql)
    }
    const said: object[] = []
    const log = { ...silentLog, warn: (fields: object) => void said.push(fields) }
    await migrate(clickhouse, { EVENTS_TTL_DAYS: 0, EVENTS_COLUMNS: ['plan'] }, log)
    expect(said).toEqual(Array(4).fill({ reason: expect.stringContaining(reason) }))
    const versions = statements.filter((sql) => sql.startsWith('INSERT'))
    expect(versions.map((sql) => sql.at(-1))).toEqual(['1', '2', '3'])
  },
)

test('tries a migration again if the server does not answer', async () => {
  const { clickhouse } = makeServer()
  clickhouse.command = async (sql) => {
    if (sql.startsWith('CREATE VIEW')) throw new Error('socket closed')
  }
  await expect(migrate(clickhouse, { EVENTS_TTL_DAYS: 0 })).rejects.toThrow('socket closed')
})
