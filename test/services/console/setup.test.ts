import { afterAll, beforeAll, expect, test } from 'bun:test'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type Document, post, read, send, tag } from './support.ts'

const folder = temporaryFolder()
const path = join(folder.path, 'projects.toml')
const example = join(import.meta.dir, '../../fixtures/projects.toml')
let server: Spillway

beforeAll(async () => {
  copyFileSync(example, path)
  server = await startSpillway({ PROJECTS_FILE: path, ADMIN_TOKEN: 'a-secret-of-the-operators' })
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

test('session says what runs here', async () => {
  expect(await read(server, 'session')).toMatchObject({
    environment: 'development',
    url: server.url,
    workers: 1,
    sinks: ['clickhouse'],
    clickhouse: 'embedded',
    can_query: true,
    projects_file: true,
  })
})

test('settings are those in force, and secrets are masked', async () => {
  const { settings } = await read(server, 'settings')
  const find = (name: string) => settings.find((one: Document) => one.name === name)
  expect(find('ADMIN_TOKEN')).toMatchObject({ value: '(set)', secret: true })
  expect(find('CLICKHOUSE_FLUSH_MS')).toMatchObject({ value: 100, is_default: false })
  expect(JSON.stringify(settings)).not.toContain('a-secret-of-the-operators')
})

test('projects show the file in force, and the lines of faults of a later content', async () => {
  const before = await read(server, 'projects')
  expect(before).toMatchObject({ file: path, faults: [] })
  expect(before.projects[0]).toMatchObject({
    id: 'shop',
    tokens: ['phc_shop_web', 'phc_shop_app'],
    api_keys: 1,
    rate: { per_second: 100, burst: 200 },
    apps: ['ios'],
  })
  expect(JSON.stringify(before)).not.toContain('sk_shop')
  expect(before.snippets[0].code).toContain(server.url)
  expect(before.snippets[0].code).toContain('phc_shop_web')
  writeFileSync(path, '[[projects]]\nid = "shop"\ntokens = "phc_shop_web"\n')
  const faulty = await until(async () => {
    const document = await read(server, 'projects')
    return document.faults.length > 0 && document
  })
  expect(faulty.faults[0]).toMatchObject({ line: 3, place: 'projects[0].tokens' })
  expect(faulty.projects.map(({ id }: Document) => id)).toEqual(['shop', 'blog'])
  copyFileSync(example, path)
  await until(async () => (await read(server, 'projects')).faults.length === 0)
})

test('projects show what is filled in and what is removed', async () => {
  const usual = await read(server, 'projects')
  expect(usual.projects[0]).toMatchObject({
    ...{ enrich: [], bots: 'mark', ip: 'keep', drop_properties: [] },
  })
  const rules =
    'enrich = ["geo", "bots"]\nbots = "drop"\nip = "truncate"\ndrop_properties = ["email"]'
  writeFileSync(path, `[[projects]]\nid = "shop"\ntokens = ["phc_shop_web"]\n${rules}\n`)
  const shown = await until(async () => {
    const [project] = (await read(server, 'projects')).projects
    return project.ip !== 'keep' && project
  })
  expect(shown).toMatchObject({
    ...{ enrich: ['geo', 'bots'], bots: 'drop', ip: 'truncate', drop_properties: ['email'] },
  })
  copyFileSync(example, path)
  await until(async () => (await read(server, 'projects')).projects.length > 1)
})

test('queries run on the embedded ClickHouse, in three formats', async () => {
  const { queries } = await read(server, 'queries')
  await post(`${server.url}/e`, { api_key: 'phc_blog', event: tag, distinct_id: 'ada' })
  await until(async () => (await server.query('SELECT 1 FROM events')).length > 0)
  for (const { sql } of queries) expect((await send(server, 'query', { sql })).status).toBe(200)
  const sql = 'SELECT event FROM events'
  const { document } = await send(server, 'query', { sql })
  expect(document().data).toEqual([{ event: tag }])
  for (const [format, start] of [
    ['CSVWithNames', '"event"'],
    ['Parquet', 'PAR1'],
  ]) {
    const response = await fetch(`${server.url}/console/api/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sql, format }),
    })
    expect(response.headers.get('content-disposition')).toStartWith('attachment')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(await response.text()).toStartWith(start!)
  }
})

test('a statement that writes or fails gets ClickHouse’s sentence', async () => {
  for (const sql of ['DROP TABLE events', 'SELECT nix', "SELECT * FROM file('/etc/passwd')"]) {
    const { status, document } = await send(server, 'query', { sql })
    expect([sql, status, document().error]).toEqual([sql, 400, 'query_failed'])
    expect(document().detail.length).toBeGreaterThan(10)
  }
  const body = JSON.stringify({ sql: 'SELECT 1' })
  const form = await fetch(`${server.url}/console/api/query`, { method: 'POST', body })
  expect(form.status).toBe(415)
  for (const bad of [{}, { sql: 5 }, { sql: 'SELECT 1', format: 'Nix' }])
    expect((await send(server, 'query', bad)).status).toBe(400)
})
