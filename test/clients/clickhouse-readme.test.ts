import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { tables as created } from '../../src/delivery/clickhouse/tables.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(60_000)

/** Runs the queries of the README's section. */
const readme = readFileSync(join(import.meta.dir, '../../README.md'), 'utf8')
  .split('\n## ')
  .find((section) => section.startsWith('Reading from ClickHouse'))!
const [perDay, byProperty, recording, rejected, altered] = [
  ...readme.matchAll(/```sql\n(.*?)```/gs),
].map(([, sql = '']) => sql)

const token = 'phc_my_project'
const signUps = ['scale', 'free', 'scale'].map((plan, index) => ({
  ...{ event: 'signed_up', uuid: crypto.randomUUID(), distinct_id: `user-${index % 2}` },
  properties: { plan },
}))
/** The last exceeds the size of one row and is stored in chunks. */
const snapshots = [{ data: 'a' }, { data: 'ü'.repeat(60_000) }]
let server: Spillway

beforeAll(async () => {
  server = await startSpillway({ KAFKA_MESSAGE_BYTES_MAX: '65536' })
  const send = async (path: string, body: object) => {
    const reply = await fetch(`${server.url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    expect(reply.status).toBe(200)
  }
  await send('/batch', { api_key: token, batch: [...signUps, { event: 'nobody’s' }] })
  const late = { event: 'e', distinct_id: 'user-1', timestamp: 'soon' }
  await send('/e', { api_key: 'phc_altered', ...late })
  const properties = { $session_id: 'session-1', $snapshot_data: snapshots }
  await send('/s', { api_key: token, event: '$snapshot', distinct_id: 'user-1', properties })
  await until(async () => (await server.query(rejected!)).length > 0, { what: 'a dead letter' })
  await until(async () => (await server.query(altered!)).length > 0, { what: 'a warning' })
  await until(async () => (await server.query(perDay!)).length > 0, { what: 'events' })
  await until(async () => (await server.query(recording!)).length > 1, { what: 'recordings' })
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
})

test('the README counts events and people a day', async () => {
  const [day, ...others] = await server.query(perDay!)
  expect(day).toMatchObject({ event: 'signed_up', events: 3, people: 2 })
  expect(others).toEqual([])
})

test('the README counts events by a property', async () => {
  const rows = await server.query<{ plan: string; events: number }>(byProperty!)
  const byPlan = rows.map(({ plan, events }) => [plan, events])
  expect(Object.fromEntries(byPlan)).toEqual({ free: 1, scale: 2 })
})

test('the README joins the chunks of a recording', async () => {
  const rows = await server.query<{ snapshots: string }>(recording!)
  const whole = rows.flatMap((row) => JSON.parse(row.snapshots))
  expect(whole.sort((a, b) => a.data.length - b.data.length)).toEqual(snapshots)
})

test('the README lists rejected events with their reason', async () => {
  expect(await server.query(rejected!)).toEqual([
    { reason: 'missing_distinct_id', events: 1, example: expect.stringContaining('distinct_id') },
  ])
})

test('the README lists altered events with the value as sent', async () => {
  expect(await server.query(altered!)).toEqual([
    {
      ...{ project: 'phc_altered', kind: 'time_unreadable', field: 'timestamp' },
      ...{ events: 1, example: 'soon' },
    },
  ])
})

test('the README lists the tables and columns that the server creates', () => {
  const cells = (row: string) => row.split('|').map((cell) => cell.trim().replaceAll('`', ''))
  const rows = readme
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map(cells)
  const sortedBy = created.map(({ name, orderBy }) => [name, orderBy])
  const tables = rows.filter(([, name]) => sortedBy.some(([table]) => table === name))
  expect(tables.map(([, name, , orderBy]) => [name, orderBy])).toEqual(sortedBy)
  const listed = rows
    .filter((row) => !tables.includes(row))
    .flatMap(([, names = '', type = '']) => names.split(', ').map((name) => `${name} ${type}`))
  const types = Object.entries(created[0]!.columns).map(([name, [type]]) => `${name} ${type}`)
  expect(listed).toEqual(types.map((column) => column.replace(/ CODEC.*|(?<=Enum8).*/, '')))
})
