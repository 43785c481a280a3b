import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { tables as created } from '../../src/delivery/clickhouse/tables.ts'
import { blocksOf, readDocument } from '../support/documents.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(60_000)

/** Runs the queries of docs/clickhouse.md. */
const page = 'docs/clickhouse.md'
const [perDay, byProperty, recording, rejected, altered] = blocksOf(page, 'sql')

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

test('the page counts events and people a day', async () => {
  const [day, ...others] = await server.query(perDay!)
  expect(day).toMatchObject({ event: 'signed_up', events: 3, people: 2 })
  expect(others).toEqual([])
})

test('the page counts events by a property', async () => {
  const rows = await server.query<{ plan: string; events: number }>(byProperty!)
  const byPlan = rows.map(({ plan, events }) => [plan, events])
  expect(Object.fromEntries(byPlan)).toEqual({ free: 1, scale: 2 })
})

test('the page joins the chunks of a recording', async () => {
  const rows = await server.query<{ snapshots: string }>(recording!)
  const whole = rows.flatMap((row) => JSON.parse(row.snapshots))
  expect(whole.sort((a, b) => a.data.length - b.data.length)).toEqual(snapshots)
})

test('the page lists rejected events with their reason', async () => {
  expect(await server.query(rejected!)).toEqual([
    { reason: 'missing_distinct_id', events: 1, example: expect.stringContaining('distinct_id') },
  ])
})

test('the page lists altered events with the value as sent', async () => {
  expect(await server.query(altered!)).toEqual([
    {
      ...{ project: 'phc_altered', kind: 'time_unreadable', field: 'timestamp' },
      ...{ events: 1, example: 'soon' },
    },
  ])
})

test('the page lists the tables that the server creates', () => {
  const listed = [...readDocument(page).matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  expect(listed).toEqual(created.map(({ name }) => name))
})
