import { expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { nothingWrong, reconcile, type Stored } from '../../support/reconcile.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import type { Ledger } from '../../support/traffic.ts'
import { until } from '../../support/until.ts'
import { post } from './support.ts'

const kills = 6

type Sending = { path: string; body: unknown; headers: Record<string, string>; ids: string[] }

/** Each event has an id that is stored, so that the rows can be compared with the ledger. */
const contracts: { name: string; stored: string; toSending(payload: object): Sending }[] = [
  {
    name: 'link',
    stored: 'SELECT event_id AS uuid, event_attributes AS properties FROM link_events',
    toSending(payload) {
      const id = crypto.randomUUID()
      const body = { event_type: 'click', event_id: id, event_attributes: payload }
      return { path: '/api/events/track', body, headers: {}, ids: [id] }
    },
  },
  {
    name: 'telemetry',
    stored: toEventsQuery('telemetry', `JSONExtractString(events.properties, '$id')`),
    toSending(payload) {
      const ids = Array.from({ length: 5 }, () => crypto.randomUUID())
      const body = ids.map((id) => ({
        ...{ id, type: 'custom', name: 'n', ts: Date.now(), app: 'a', release: '1' },
        ...{ sessionId: 's', props: { payload } },
      }))
      return { path: '/api/telemetry/events', body, headers: {}, ids }
    },
  },
  {
    name: 'report',
    stored: toEventsQuery('report', 'session_id'),
    toSending(payload) {
      const ids = Array.from({ length: 5 }, () => crypto.randomUUID())
      const events = ids.map((id) => ({
        ...{ name: 'n', user: 'u', sessionId: id, extra: { payload } },
      }))
      const headers = {
        ...{ 'x-api-key': 'key', 'x-user-id': 'u', 'x-app-id': 'a', 'x-platform': 'iOS' },
        ...{ 'x-version': '1', 'idempotency-key': crypto.randomUUID() },
      }
      return { path: '/v2/users/report/events', body: { events }, headers, ids }
    },
  },
]

function toEventsQuery(source: string, id: string): string {
  const payload = `JSONExtractRaw(properties, 'payload')`
  return `SELECT ${id} AS uuid, ${payload} AS properties FROM events WHERE source = '${source}'`
}

/** Clients of one contract that repeat each request until it is acknowledged. */
function startClients(url: string, { toSending }: (typeof contracts)[number]) {
  const ledger: Ledger = { sent: new Map(), acknowledged: new Set(), statuses: new Map() }
  let isStopping = false
  const clients = Array.from({ length: 3 }, async (_, client) => {
    for (let round = 0; !isStopping; round += 1) {
      const payload = { client, round, text: 'ünï "quoted" \\', long: 'x'.repeat(round % 2000) }
      await sendUntilAcknowledged(url, ledger, { payload, ...toSending(payload) })
    }
  })
  return {
    ledger,
    async stop() {
      isStopping = true
      await Promise.all(clients)
    },
  }
}

async function sendUntilAcknowledged(
  url: string,
  ledger: Ledger,
  { path, body, headers, ids, payload }: Sending & { payload: object },
): Promise<void> {
  for (const id of ids) ledger.sent.set(id, JSON.stringify(payload))
  const bytes = gzipSync(JSON.stringify(body))
  const isAcknowledged = async () => {
    const answer = await post(`${url}${path}`, bytes, headers).catch(() => undefined)
    const status = answer?.status ?? 'lost'
    ledger.statuses.set(status, (ledger.statuses.get(status) ?? 0) + 1)
    return status === 200 || status === 201
  }
  await until(isAcknowledged, { timeoutMs: 60_000, pauseMs: 20, what: `an answer of ${path}` })
  for (const id of ids) ledger.acknowledged.add(id)
}

test('stores acknowledged events of link, telemetry and report exactly once across kill -9', async () => {
  await using server = await startSpillway({
    RATE_TELEMETRY_PER_MINUTE: '0',
    RATE_LINK_PER_MINUTE: '0',
  })
  const running = contracts.map((contract) => ({
    contract,
    ...startClients(server.url, contract),
  }))
  const acknowledged = () => running.map(({ ledger }) => ledger.acknowledged.size)
  for (let kill = 0; kill < kills; kill += 1) {
    const before = acknowledged()
    // A random moment, so that kills hit inserts, syncs and replays.
    const more = 10 + Math.floor(Math.random() * 150)
    const isEnough = () => acknowledged().every((count, index) => count >= before[index]! + more)
    await until(isEnough, { timeoutMs: 60_000, what: 'progress on every route' })
    await server.kill()
    await server.start()
  }
  await Promise.all(running.map(({ stop }) => stop()))

  for (const { contract, ledger } of running) {
    const rows = await rowsOf(server, contract.stored, ledger.acknowledged.size)
    expect([contract.name, reconcile(ledger, rows)]).toEqual([contract.name, nothingWrong])
    expect(ledger.acknowledged.size).toBe(ledger.sent.size)
    // Otherwise no request was interrupted, and the test would show nothing.
    expect(ledger.statuses.get('lost')).toBeGreaterThan(0)
  }
}, 180_000)

async function rowsOf(server: Spillway, sql: string, count: number): Promise<Stored[]> {
  const isThere = async () => (await server.query(sql)).length >= count
  await until(isThere, { timeoutMs: 60_000, pauseMs: 100, what: 'all rows' })
  return await server.query<Stored>(sql)
}
