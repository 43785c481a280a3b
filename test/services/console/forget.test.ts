import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { blocksOf } from '../../support/documents.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { runCli } from '../archive/support.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'
import { shared } from '../shared.ts'

setDefaultTimeout(180_000)

let clickhouse: ClickHouseService
beforeAll(async () => {
  clickhouse = await startClickHouse()
}, 120_000)
afterAll(() => clickhouse.stop())

const ada = 'ada\'s "id" \\ ü'
const settings = { ARCHIVE_FLUSH_MS: '100' }

async function post(url: string, body: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json', connection: 'close' }
  const reply = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  await reply.text()
}

/** Rows of a person in every table, and beside them rows of others that look alike. */
async function sendAll({ url }: Spillway): Promise<void> {
  const events = ['phc_shop', 'phc_other'].flatMap((api_key) =>
    [ada, 'bob', `${ada}2`].map((distinct_id) => ({ api_key, distinct_id })),
  )
  for (const { api_key, distinct_id } of events) {
    const properties = {
      distinct_id,
      $session_id: 's',
      $snapshot_data: [{ type: 2, timestamp: 1 }],
    }
    const batch = [
      { event: 'one', distinct_id },
      { event: 'two', distinct_id },
      { event: '', distinct_id },
    ]
    await post(`${url}/batch/`, { api_key, batch })
    await post(`${url}/s/`, { api_key, event: '$snapshot', properties })
    const link = { event_type: 'click', project_id: api_key }
    await post(`${url}/api/events/track`, { ...link, visitor_id: distinct_id })
    await post(`${url}/api/events/track`, { ...link, visitor_id: 'somebody', user_id: distinct_id })
  }
}

const drained = ({ url }: Spillway) =>
  until(async () => (await scrape(url))('spillway_sink_waiting_records') === 0, {
    ...{ timeoutMs: 60_000, pauseMs: 50, what: 'an empty backlog' },
  })

const quote = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`
const tables = {
  events: ['project', 'distinct_id'],
  recordings: ['project', 'distinct_id'],
  link_events: ['project_id', 'visitor_id'],
  dead_letters: ['project', `JSONExtractString(raw, 'distinct_id')`],
} as const

/** The number of rows by table, project and person. */
async function countRows(server: Spillway): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const [table, [project, id]] of Object.entries(tables)) {
    const sql = `SELECT ${project} AS project, ${id} AS id, count() AS rows FROM ${table} GROUP BY ALL`
    for (const row of await server.query<{ project: string; id: string; rows: string }>(sql))
      counts[`${table} ${row.project} ${row.id}`] = Number(row.rows)
  }
  return counts
}

const forget = (server: Spillway, ...args: string[]) =>
  runCli('forget', args, { SPILLWAY_URL: server.url }).ended

const deleted = [
  'deleted 2 rows of events',
  'deleted 1 rows of recordings',
  'deleted 2 rows of link_events',
  'deleted 1 rows of dead_letters',
]

test('docs/privacy.md shows what the command prints', async () => {
  const shown = blocksOf('docs/privacy.md', 'sh').flatMap((text) => text.trim().split('\n'))
  expect(shown[0]).toBe('bun run forget shop user-1')
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  const projects = blocksOf('docs/privacy.md', 'toml')[0]!
  expect(projects).toContain('id = "shop"')
  writeFileSync(path, projects)
  await using server = await startSpillway({ PROJECTS_FILE: path })
  const batch = ['a', 'b'].map((event) => ({ event, distinct_id: 'user-1' }))
  await post(`${server.url}/batch/`, { api_key: 'phc_shop', batch })
  const { output } = await forget(server, 'shop', 'user-1')
  expect(output.trim().split('\n')).toEqual(shown.slice(1).map((line) => line.slice(2)))
})

describe('bun run forget', () => {
  test.each([
    ['the embedded ClickHouse', () => ({})],
    ['a ClickHouse server', () => ({ CLICKHOUSE_URL: `${clickhouse.url}/forget` })],
  ])('deletes a person in %s, and nobody else', async (_, toSettings) => {
    await using server = await startSpillway({ ...settings, ...toSettings() })
    await sendAll(server)
    // What waits in the journal is delivered first.
    const { output, errors, exitCode } = await forget(server, 'phc_shop', ada)
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: '' })
    expect(output.trim().split('\n')).toEqual(deleted)
    const counts = await countRows(server)
    expect(Object.keys(counts).filter((key) => key.endsWith(`phc_shop ${ada}`))).toEqual([])
    expect(counts).toMatchObject({
      [`events phc_other ${ada}`]: 2,
      [`events phc_shop ${ada}2`]: 2,
      'events phc_shop bob': 2,
      [`recordings phc_shop ${ada}2`]: 1,
      'link_events phc_shop bob': 1,
      'link_events phc_shop somebody': 2,
      'dead_letters phc_shop bob': 1,
    })
    // The journal holds delivered records until their segment is removed.
    const journal = join(server.dataDir, 'journal')
    const bytes = readdirSync(journal).map((name) => readFileSync(join(journal, name), 'utf8'))
    expect(bytes.join('').includes(JSON.stringify(ada))).toBe(false)
    const again = await forget(server, 'phc_shop', ada)
    expect(again.exitCode).toBe(0)
    expect(again.output.trim().split('\n')).toEqual([
      ...deleted.map((line) => line.replace(/\d/, '0')),
      expect.stringContaining('no row has this project and this distinct_id'),
    ])
    expect(await countRows(server)).toEqual(counts)
  })

  test('waits for a ClickHouse that is down, and deletes what waited', async () => {
    const url = `${clickhouse.url}/down`
    await using server = await startSpillway({ ...settings, CLICKHOUSE_URL: url })
    await sendAll(server)
    await drained(server)
    await clickhouse.kill()
    await post(`${server.url}/batch/`, {
      api_key: 'phc_shop',
      batch: [{ event: 'late', distinct_id: ada }],
    })
    const running = forget(server, 'phc_shop', ada)
    const isWaiting = async () => {
      const asked = new URLSearchParams({ project: 'phc_shop', distinct_id: ada })
      const reply = await fetch(`${server.url}/console/api/forget?${asked}`)
      // biome-ignore lint/suspicious/noExplicitAny: a document of the server.
      const { processes } = (await reply.json()) as any
      return processes[0]?.state === 'running' && processes[0].sinks.clickhouse.waiting > 0
    }
    await until(isWaiting, { timeoutMs: 30_000 })
    // The database of this test was in the service's folder, which a restart keeps.
    await clickhouse.restart()
    const { output, exitCode } = await running
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(output).toMatch(/deleted \d rows of events/)
    const rows = await server.query(
      `SELECT 1 FROM events WHERE project = 'phc_shop' AND distinct_id = ${quote(ada)}`,
    )
    expect(rows).toEqual([])
  })

  test('keeps a replay from bringing the person back', async () => {
    using folder = temporaryFolder()
    await using server = await startSpillway({ ...settings, ARCHIVE: folder.path })
    await sendAll(server)
    const { exitCode } = await forget(server, 'phc_shop', ada)
    expect(exitCode).toBe(0)
    await drained(server)
    const counts = await countRows(server)
    await server.stop()
    const environment = { ARCHIVE: folder.path, DATA_DIR: server.dataDir }
    const from = new Date(Date.now() - 3_600_000).toISOString()
    const replayed = await runCli('replay', ['--from', from], environment).ended
    expect(replayed).toMatchObject({ exitCode: 0 })
    expect(replayed.output).toContain('clickhouse got 0')
    await server.start()
    expect(await countRows(server)).toEqual(counts)
    // A person who comes back later is kept.
    await post(`${server.url}/batch/`, {
      api_key: 'phc_shop',
      batch: [{ event: 'back', distinct_id: ada }],
    })
    await drained(server)
    expect((await countRows(server))[`events phc_shop ${ada}`]).toBe(1)
  })

  test('fails while the archive cannot take its mark, and says why', async () => {
    using folder = temporaryFolder()
    const archive = join(folder.path, 'archive')
    mkdirSync(archive)
    await using server = await startSpillway({ ...settings, ARCHIVE: archive })
    await post(`${server.url}/batch/`, {
      api_key: 'phc_shop',
      batch: [{ event: 'one', distinct_id: ada }],
    })
    await drained(server)
    rmSync(archive, { recursive: true })
    const failed = await forget(server, 'phc_shop', ada)
    expect(failed).toMatchObject({ exitCode: 1, output: '' })
    expect(failed.errors).toMatch(/^ENOENT.*; call it again\n$/)
    expect(await countRows(server)).toEqual({})
    mkdirSync(archive)
    const again = await forget(server, 'phc_shop', ada)
    expect(again).toMatchObject({ exitCode: 0, errors: '' })
    expect(readdirSync(join(archive, 'forgotten'))).toHaveLength(1)
  })

  test('covers every process of a node', async () => {
    const url = `${clickhouse.url}/workers`
    await using server = await startSpillway({
      ...{ ...settings, CLICKHOUSE_URL: url, WORKERS: '2', REALTIME_PORT: '0' },
      ...{ REDIS_URL: await shared.redis(), REDIS_PREFIX: crypto.randomUUID() },
    })
    const events = Array.from({ length: 40 }, (_, n) => ({ event: `e${n}`, distinct_id: ada }))
    // Each request has a connection of its own, so both processes get some.
    for (const event of events)
      await post(`${server.url}/batch/`, { api_key: 'phc_shop', batch: [event] })
    const { output, errors, exitCode } = await forget(server, 'phc_shop', ada)
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: '' })
    // Rows that one process deletes while the other one counts may be in both numbers, or in none.
    expect(output).toMatch(/^deleted \d+ rows of events$/m)
    expect(await countRows(server)).toEqual({})
  })

  test('names the other ids of the person', async () => {
    await using server = await startSpillway(settings)
    const properties = { $anon_distinct_id: 'anonymous' }
    const batch = [{ event: '$identify', distinct_id: 'carol', properties }]
    await post(`${server.url}/batch/`, { api_key: 'phc_shop', batch })
    const { output } = await forget(server, 'phc_shop', 'carol')
    expect(output).toContain('the person has other ids, too: anonymous\n')
    expect(output).not.toContain('no row has this project')
  })

  test('says that no row has the project, such as its token with a projects file', async () => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'projects.toml')
    writeFileSync(path, '[[projects]]\nid = "shop"\ntokens = ["phc_shop"]\n')
    await using server = await startSpillway({ ...settings, PROJECTS_FILE: path })
    await post(`${server.url}/e`, { api_key: 'phc_shop', event: 'e', distinct_id: 'dora' })
    const byToken = await forget(server, 'phc_shop', 'dora')
    expect(byToken.output).toContain('deleted 0 rows of events\n')
    expect(byToken.output).toContain('with a projects file the id of the project')
    const byId = await forget(server, 'shop', 'dora')
    expect(byId.output).toContain('deleted 1 rows of events\n')
    expect(byId.output).not.toContain('no row has this project')
  })

  test.each([
    [['phc_shop'], 'name a project and a distinct_id', 64],
    [['a', 'b', 'c'], 'name a project and a distinct_id', 64],
    [['a', 'b', '--url', 'http://127.0.0.1:1'], 'cannot reach http://127.0.0.1:1', 1],
  ])('with %j ends with a sentence', async (args, text, code) => {
    const { errors, exitCode } = await runCli('forget', args, {}).ended
    expect(errors).toContain(text)
    expect(exitCode).toBe(code)
  })
})
