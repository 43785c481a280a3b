import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { type ClickHouseService, startClickHouse } from '../services/clickhouse.ts'
import { settle } from '../support/delivery.ts'
import { readMetrics } from '../support/metrics.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(120_000)

let clickhouse: ClickHouseService
let server: Spillway
beforeAll(async () => {
  clickhouse = await startClickHouse()
  // A small journal, so that it fills soon while ClickHouse hangs.
  server = await startSpillway({
    CLICKHOUSE_URL: clickhouse.url,
    JOURNAL_MAX_BYTES: '16MiB',
    JOURNAL_SEGMENT_BYTES: '1MiB',
  })
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await clickhouse?.stop()
})

/** A body of 25 events with `bytes` of text each. */
function makeBody(token: string, bytes = 10): string {
  const batch = Array.from({ length: 25 }, (_, index) => ({
    ...{ event: 'bought', uuid: crypto.randomUUID(), distinct_id: `user-${index}` },
    properties: { text: 'x'.repeat(bytes) },
  }))
  return JSON.stringify({ api_key: token, batch })
}

const post = async (body: string) => {
  const response = await fetch(`${server.url}/batch/`, { method: 'POST', body })
  return { status: response.status, error: ((await response.json()) as { error?: string }).error }
}

async function countStored(token: string): Promise<unknown> {
  await settle(server)
  const sql = `SELECT count() AS n, uniqExact(uuid) AS u FROM events WHERE project = '${token}'`
  return (await server.query(sql))[0]
}

test('accepts a retry after a full journal has refused the request', async () => {
  clickhouse.pause()
  const refused: string[] = []
  let accepted = 0
  while (refused.length < 3) {
    const body = makeBody('phc_full', 20_000)
    const { status, error } = await post(body)
    if (status === 200) accepted += 1
    else {
      expect([status, error]).toEqual([503, 'journal_full'])
      refused.push(body)
    }
  }
  clickhouse.resume()
  for (const body of refused)
    await until(async () => (await post(body)).status === 200, { timeoutMs: 60_000 })
  const events = 25 * (accepted + refused.length)
  expect(await countStored('phc_full')).toEqual({ n: events, u: events })
})

test('accepts a retry after the process was killed before the commit', async () => {
  const body = makeBody('phc_killed')
  const { hostname, port } = new URL(server.url)
  const socket = await Bun.connect({ hostname, port: Number(port), socket: { data() {} } })
  const head = `POST /batch/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`
  socket.write(head + body.slice(0, -1))
  socket.flush()
  await until(async () => (await readInFlight()) > 0, { what: 'the request in flight' })
  await server.kill()
  socket.end()
  await server.start()
  expect((await post(body)).status).toBe(200)
  expect(await countStored('phc_killed')).toEqual({ n: 25, u: 25 })
})

async function readInFlight(): Promise<number> {
  const text = await readMetrics(server.url)
  return Number(/^spillway_intake_requests (\d+)$/m.exec(text)?.[1])
}

test('stores an acknowledged event once, also when it is sent again after a restart', async () => {
  const body = makeBody('phc_again')
  expect((await post(body)).status).toBe(200)
  expect((await post(body)).status).toBe(200)
  await server.kill()
  await server.start()
  expect((await post(body)).status).toBe(200)
  expect(await server.stop()).toBe(0)
  await server.start()
  expect((await post(body)).status).toBe(200)
  expect(await countStored('phc_again')).toEqual({ n: 25, u: 25 })
})
