import { expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../support/folder.ts'
import { oldRows, oldRowsQuery, unpackOldFolder } from '../support/old-folder.ts'

setDefaultTimeout(300_000)

const script = join(import.meta.dir, '../services/clickhouse/migration-process.ts')
const tables = ['dead_letters', 'events', 'link_events', 'recordings', 'schema_migrations']

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

test('a migration that is killed at any statement is completed by the next start', async () => {
  using folder = temporaryFolder()
  const fresh = unpackOldFolder(folder.path)
  const copyOf = (name: string) => {
    cpSync(fresh, join(folder.path, name), { recursive: true })
    return join(folder.path, name)
  }
  const whole = (await migrate(copyOf('whole')))!
  expect(whole).toMatchObject({ rows: oldRows, tables })

  // The tables follow one another by the same statements, so those of the first table are killed.
  const isStep = /^(INSERT|ALTER|RENAME|DROP TABLE IF EXISTS events_migration_old)/
  const steps = whole.statements.flatMap((sql, index) =>
    isStep.test(sql) && !/recordings|link_events|dead_|schema_/.test(sql) ? [`${index + 1}`] : [],
  )
  expect(steps.length).toBe(6)
  const kills = steps.flatMap((at) => [
    [at, 'before'],
    [at, 'during'],
  ])
  const killAndComplete = async ([at, when]: string[]) => {
    const path = copyOf(`${at}-${when}`)
    expect(await migrate(path, at!, when!)).toBeUndefined()
    const { rows, tables: left } = (await migrate(path))!
    expect({ at, when, rows, left }).toEqual({ at, when, rows: oldRows, left: tables })
  }
  for (let from = 0; from < kills.length; from += 2)
    await Promise.all(kills.slice(from, from + 2).map(killAndComplete))
})
