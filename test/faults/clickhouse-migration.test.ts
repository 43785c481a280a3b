import { expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../support/folder.ts'
import { oldRows, oldRowsQuery, unpackOldFolder } from '../support/old-folder.ts'

setDefaultTimeout(600_000)

const script = join(import.meta.dir, '../services/clickhouse/migration-process.ts')
const tables = [
  ...['dead_letters', 'events', 'link_events', 'person_distinct_ids', 'persons', 'recordings'],
  ...['schema_migrations', 'sessions'],
]

async function migrate(path: string, ...kill: string[]) {
  const child = Bun.spawn([process.execPath, script, path, oldRowsQuery, ...kill], {
    stderr: 'pipe',
  })
  const [output, faults] = await Promise.all([child.stdout.text(), child.stderr.text()])
  await child.exited
  if (child.signalCode === 'SIGKILL') return undefined
  if (child.exitCode !== 0) throw new Error(faults)
  return JSON.parse(output) as { statements: string[]; rows: unknown[]; tables: string[] }
}

test('a migration that is killed at any step is completed by the next start', async () => {
  using folder = temporaryFolder()
  const old = unpackOldFolder(folder.path)
  const copyOf = (from: string, name: string) => {
    cpSync(from, join(folder.path, name), { recursive: true })
    return join(folder.path, name)
  }
  const whole = (await migrate(copyOf(old, 'whole')))!
  expect(whole).toMatchObject({ rows: oldRows, tables })

  // All tables take the same steps: `link_events`, of two months, stands for the others.
  const first = whole.statements.findIndex((sql) => sql.includes('link_events'))
  const half = copyOf(old, 'half')
  expect(await migrate(half, `${first + 1}`, 'before')).toBeUndefined()
  const { statements } = (await migrate(copyOf(half, 'half-whole')))!
  const isStep =
    /^(INSERT|ALTER|RENAME|DROP TABLE IF EXISTS link_events_migration_old|CREATE VIEW IF NOT EXISTS persons)/
  const steps = statements.flatMap((sql, index) =>
    isStep.test(sql) && /link_events|CREATE VIEW/.test(sql) ? [`${index + 1}`] : [],
  )
  // The rebuilt table has all columns and comments, so nothing alters it.
  expect(steps.length).toBe(7)
  for (const at of steps)
    for (const when of ['before', 'during']) {
      const path = copyOf(half, `${at}-${when}`)
      expect(await migrate(path, at, when)).toBeUndefined()
      const { rows, tables: left } = (await migrate(path))!
      expect({ at, when, rows, left }).toEqual({ at, when, rows: oldRows, left: tables })
    }
})
