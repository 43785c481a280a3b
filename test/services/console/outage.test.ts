import { afterAll, beforeAll, expect, test } from 'bun:test'
import { freePort } from '../../support/port.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'
import { contracts, type Document, post, read, send, senders } from './support.ts'

let clickhouse: ClickHouseService
let server: Spillway

beforeAll(async () => {
  clickhouse = await startClickHouse()
  server = await startSpillway({ CLICKHOUSE_URL: clickhouse.url })
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await clickhouse?.stop()
})

const stageOf = (event: Document, name: string) =>
  event.stages.find((stage: Document) => stage.name === name)

test('while ClickHouse is down an event is found in the journal, waiting; then as a row', async () => {
  await until(async () => (await read(server, 'overview')).sinks[0].state === 'healthy')
  await clickhouse.kill()
  const startedMs = Date.now()
  for (const contract of contracts) {
    const sent = await senders[contract](server.url)
    const { events, searched } = await read(server, `trace?id=${sent.requestId}`)
    expect(events[0]).toMatchObject({ contract, outcome: 'stored', row: null })
    expect(events[0].line.uuid).toBe(events[0].uuid)
    const stage = stageOf(events[0], 'clickhouse')
    expect(stage.state).toBe('waiting')
    expect(stage.since_ms).toBeGreaterThanOrEqual(startedMs)
    expect(searched.find(({ place }: Document) => place === 'clickhouse').complete).toBe(false)
  }
  const byPerson = await read(server, 'trace?id=ada')
  expect(byPerson.events).toHaveLength(contracts.length)
  const uuid = crypto.randomUUID()
  const event = { api_key: 'phc_console', event: 'twice', distinct_id: 'ada', uuid }
  const first = await post(`${server.url}/e`, event)
  const second = await post(`${server.url}/e`, event)
  const duplicates = await read(server, `trace?id=${second.requestId}`)
  const duplicate = duplicates.events.find(({ outcome }: Document) => outcome === 'duplicate')
  expect(duplicate.duplicate_of).toMatchObject({ uuid, request_id: first.requestId })

  const overview = await until(async () => {
    const document = await read(server, 'overview')
    const [sink] = document.sinks
    return sink.last_error !== null && sink.waiting_events === 5 && document
  })
  expect(overview.sinks[0]).toMatchObject({ state: 'unhealthy', lag_records: 5 })
  expect(overview.sinks[0].oldest_ms).toBeGreaterThanOrEqual(startedMs - 60_000)

  for (const path of ['dead-letters', 'dead-letters/groups']) {
    const response = await fetch(`${server.url}/console/api/${path}`)
    expect([path, response.status]).toEqual([path, 503])
    expect(await response.json()).toMatchObject({ error: 'clickhouse_unavailable' })
  }
  await clickhouse.restart()
  await until(
    async () => {
      const { events } = await read(server, `trace?id=${first.requestId}`)
      return events[0] && stageOf(events[0], 'clickhouse').state === 'done' && events[0].row
    },
    { timeoutMs: 30_000 },
  )
}, 60_000)

test('queries of a remote ClickHouse are sent there, not through the console', async () => {
  const { status, document } = await send(server, 'query', { sql: 'SELECT 1' })
  expect([status, document().error]).toEqual([409, 'remote_clickhouse'])
  const session = await read(server, 'session')
  expect(session).toMatchObject({ clickhouse: 'remote', can_query: false })
  expect(session.query_url).toBe(new URL(clickhouse.url).origin)
})

test('a ClickHouse that was never there is said to be unreachable', async () => {
  await using alone = await startSpillway({ CLICKHOUSE_URL: `http://127.0.0.1:${freePort()}` })
  const sent = await senders.capture(alone.url)
  const { events, searched } = await read(alone, `trace?id=${sent.requestId}`)
  expect(events).toHaveLength(1)
  expect(searched[2].detail).toContain('cannot be reached')
}, 40_000)
