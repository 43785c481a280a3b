import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import fc from 'fast-check'
import { toRecord } from '../../src/contracts/encode.ts'
import type { CanonicalEvent } from '../../src/core/event.ts'
import { silentLog } from '../../src/core/log.ts'
import { toStoredLine } from '../../src/core/record.ts'
import { createStore, type Store } from '../../src/delivery/clickhouse/store.ts'
import type { Claim } from '../../src/ingest/dedup/claim.ts'
import { createDedup, type Dedup } from '../../src/ingest/dedup/dedup.ts'
import { createRedisDedupKeys } from '../../src/ingest/dedup/redis-markers.ts'
import { createDedupTable } from '../../src/ingest/dedup/seen-table.ts'
import { createRedis } from '../../src/redis/redis.ts'
import { post } from '../services/contracts/support.ts'
import { type RedisService, startRedis } from '../services/redis.ts'
import { temporaryFolder } from '../support/folder.ts'
import { toLine } from '../support/line.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { makeSettings, never } from '../unit/delivery/clickhouse/fixtures.ts'
import { type Normal, pair, receivedMs, toNormal } from './identity-pairs.ts'

// No honest sender beside these pairs: they are judged by what is stored, not by a time.

setDefaultTimeout(120_000)

type Verdict = 'new' | 'duplicate' | 'refused'

/** Claims and commits one event. */
async function send(dedup: Dedup, { event, payloadKey }: Normal): Promise<Verdict> {
  let claim: Claim
  try {
    claim = await dedup.claim([event.dedupKey], payloadKey)
  } catch (error) {
    expect(error).toMatchObject({ code: 'idempotency_key_reused' })
    return 'refused'
  }
  const verdict = claim.isNew(0) ? 'new' : 'duplicate'
  await claim.commit()
  return verdict
}

/** The verdict on the second event, from both events' identities by the contracts' documents. */
function toExpected({ identities: [a, b], isOtherPayload }: ReturnType<typeof toNormal>): Verdict {
  if (a === undefined || a !== b) return 'new'
  return isOtherPayload ? 'refused' : 'duplicate'
}

const toTable = () => createDedupTable({ bytesMax: 4096, now: Date.now })

describe('of two events that are not the same by the contract, no field of one hides the other', () => {
  test('in the dedup table', async () => {
    await fc.assert(
      fc.asyncProperty(pair, async (sent) => {
        const normal = toNormal(sent)
        const dedup = createDedup({ table: toTable() })
        expect(await send(dedup, normal.events[0])).toBe('new')
        expect(await send(dedup, normal.events[1])).toBe(toExpected(normal))
        await dedup.close()
      }),
      { numRuns: 3000 },
    )
  })

  describe('in Redis', () => {
    let server: RedisService
    beforeAll(async () => {
      server = await startRedis()
    })
    afterAll(() => server?.stop())

    test('if another node has the first', async () => {
      let run = 0
      await fc.assert(
        fc.asyncProperty(pair, async (sent) => {
          run += 1
          const nodes = await Promise.all([1, 2].map(() => openNode(`run${run}`)))
          const normal = toNormal(sent)
          expect(await send(nodes[0]!.dedup, normal.events[0])).toBe('new')
          expect(await send(nodes[1]!.dedup, normal.events[1])).toBe(toExpected(normal))
          for (const node of nodes) await node.close()
        }),
        { numRuns: 200 },
      )
    })

    async function openNode(prefix: string) {
      const redis = createRedis({ url: server.url, prefix, timeoutMs: 2000, log: silentLog })
      await redis.whenAvailable(5000)
      const shared = createRedisDedupKeys({ redis, now: Date.now })
      const dedup = createDedup({ table: toTable(), shared })
      const close = async () => {
        redis.close()
        await dedup.close()
      }
      return { dedup, close }
    }
  })

  describe('in ClickHouse after OPTIMIZE FINAL', () => {
    const folder = temporaryFolder()
    let store: Store
    beforeAll(async () => {
      store = await createStore(makeSettings({ dataDir: folder.path }))
      await store.prepare()
    })
    afterAll(async () => {
      await store?.clickhouse.close()
      folder[Symbol.dispose]()
    })

    test('and of two rows with one identity the first stays', async () => {
      const pairs = fc.sample(pair, { numRuns: 3000, seed: 15 }).map((sent, index) => {
        // Each pair has projects of its own: the pair's number, a dot, and the project.
        const project = (name: string) => `${index}.${name}`
        const [a, b] = sent.map((one) => ({ ...one, project: project(one.project) }))
        return toNormal([a!, b!])
      })
      const stored = pairs.map((normal) => toExpected(normal) !== 'refused')
      // The second events are inserted as well if they are duplicates: the dedup table forgets them
      // after 24 hours, and ClickHouse does not.
      await insert(pairs.map(({ events }) => events[0].event))
      const seconds = pairs.filter((_, index) => stored[index])
      await insert(seconds.map(({ events }) => toLater(events[1].event)))
      for (const table of ['events', 'recordings', 'link_events'])
        await store.clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`)

      const rows = await readRows()
      let merged = 0
      pairs.forEach((normal, index) => {
        const found = rows.get(index)
        const isSame = toExpected(normal) !== 'new'
        if (!isSame) expect([index, found?.rows]).toEqual([index, 2])
        expect([index, found?.first]).toEqual([index, receivedMs])
        if (isSame && found?.rows === 1) merged += 1
      })
      // Otherwise the rows were never merged, and the test shows nothing.
      expect(merged).toBeGreaterThan(100)
    })

    async function insert(events: readonly CanonicalEvent[]): Promise<void> {
      const tables = { event: 'events', recording: 'recordings', link: 'link_events' } as const
      for (const kind of ['event', 'recording', 'link'] as const) {
        const lines = events
          .filter((event) => event.kind === kind)
          .map((event) => toStoredLine(Buffer.from(`${toLine(toRecord(event))}\n`)))
        const token = crypto.randomUUID()
        await store.clickhouse.insert({ table: tables[kind], token, lines }, never)
      }
    }

    async function readRows() {
      const found = await store.clickhouse.query<{ pair: string; rows: string; first: string }>(
        `SELECT splitByChar('.', project)[1] AS pair, count() AS rows,
min(toUnixTimestamp64Milli(received_at)) AS first FROM (
SELECT project, received_at FROM events UNION ALL SELECT project, received_at FROM recordings
UNION ALL SELECT project_id, received_at FROM link_events) GROUP BY pair`,
      )
      return new Map(
        found.map((row) => [
          Number(row.pair),
          { rows: Number(row.rows), first: Number(row.first) },
        ]),
      )
    }
  })
})

/** A day later by the time of receipt, with all else unchanged. */
function toLater(event: CanonicalEvent): CanonicalEvent {
  event.row.received_at = receivedMs + 24 * 3_600_000
  return event
}

describe('through the server', () => {
  let server: Spillway
  beforeAll(async () => {
    server = await startSpillway({ ACCESS_LOG: 'false' })
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  const stamp = new Date().toISOString()
  const rowsOf = (project: string) =>
    server.query<{ uuid: string; source: string; event: string; properties: string }>(
      `SELECT uuid, source, event, properties FROM events FINAL WHERE project = '${project}'`,
    )
  const untilRows = (project: string, count: number) =>
    until(async () => (await rowsOf(project)).length >= count, {
      timeoutMs: 20_000,
      what: `${count} rows of ${project}`,
    })
  const capture = (token: string, batch: object[]) =>
    post(`${server.url}/batch`, { api_key: token, batch })

  /** Rows are stored in order: what came before this event is stored or will never be. */
  async function settle(project: string): Promise<void> {
    await capture(project, [{ event: 'last', distinct_id: 'last', uuid: crypto.randomUUID() }])
    await until(async () => (await rowsOf(project)).some(({ event }) => event === 'last'), {
      timeoutMs: 20_000,
      what: 'the last event',
    })
  }

  test('telemetry that reuses the uuid of a payment does not replace it, nor the other way', async () => {
    const uuid = crypto.randomUUID()
    const payment = { event: 'payment', distinct_id: 'u1', uuid, timestamp: stamp }
    await capture('shop', [{ ...payment, properties: { total: 99 } }])
    await untilRows('shop', 1)
    const forged = { id: uuid, type: 'custom', name: 'payment', ts: Date.parse(stamp), app: 'shop' }
    const body = { ...forged, release: '1', sessionId: 'u1', props: { total: 0 } }
    expect((await post(`${server.url}/api/telemetry/events`, body)).status).toBe(200)
    await untilRows('shop', 2)
    const telemetry = (await rowsOf('shop')).find(({ source }) => source === 'telemetry')!
    expect(JSON.parse(telemetry.properties)).toMatchObject({ $id: uuid, total: 0 })
    // A capture event cannot take the row of telemetry that has yet to come either.
    await capture('shop', [{ ...payment, uuid: telemetry.uuid, properties: { total: 1 } }])
    await untilRows('shop', 3)
    const payments = (await rowsOf('shop')).map(({ properties }) => JSON.parse(properties).total)
    expect(payments.sort()).toEqual([0, 1, 99])
  })

  test('people whose long distinct_ids agree in the first 200 characters do not hide each other', async () => {
    const one = { event: 'e', timestamp: stamp }
    const batch = ['a', 'b', 'c'].map((end) => ({
      ...{ ...one, distinct_id: 'x'.repeat(200) + end, uuid: crypto.randomUUID() },
    }))
    for (const event of batch) await capture('long', [event])
    await untilRows('long', 3)
  })

  test('a burst of 20 events without uuid in one millisecond is 20 rows, and a retry adds none', async () => {
    const batch = Array.from({ length: 20 }, (_, n) => {
      return { event: 'tick', distinct_id: 'u', timestamp: stamp, properties: { n } }
    })
    await capture('burst', batch)
    await untilRows('burst', 20)
    const uuids = new Set((await rowsOf('burst')).map(({ uuid }) => uuid))
    await capture('burst', structuredClone(batch))
    await server.kill()
    await server.start()
    await capture('burst', structuredClone(batch))
    await settle('burst')
    const rows = (await rowsOf('burst')).filter(({ event }) => event === 'tick')
    expect(rows.length).toBe(20)
    expect(new Set(rows.map(({ uuid }) => uuid))).toEqual(uuids)
  })

  const report = (names: string[], key: string, user = 'device-1') =>
    post(
      `${server.url}/v2/users/report/events`,
      { events: names.map((name) => ({ name, user, sessionId: 's' })) },
      {
        ...{ 'X-API-KEY': 'shared', 'X-USER-ID': user, 'X-APP-ID': 'a', 'X-PLATFORM': 'ios' },
        ...{ 'X-VERSION': '1', 'Idempotency-Key': key },
      },
    )
  const reported = async () => {
    const sql = `SELECT event FROM events FINAL WHERE source = 'report' ORDER BY event`
    return (await server.query<{ event: string }>(sql)).map(({ event }) => event)
  }

  test('two devices with one API key may use the same Idempotency-Key', async () => {
    expect((await report(['first'], '1', 'device-1')).status).toBe(200)
    expect((await report(['second'], '1', 'device-2')).status).toBe(200)
    await until(async () => (await reported()).length === 2, { timeoutMs: 20_000, what: 'both' })
    expect(await reported()).toEqual(['first', 'second'])
  })

  test('another payload under a used Idempotency-Key is refused whole, also after a crash', async () => {
    const refused = { status: 422, body: { status: 'error', code: 'IDEMPOTENCY_KEY_REUSED' } }
    expect((await report(['alone'], 'key-2')).status).toBe(200)
    const attempts = [['other'], ['alone', 'tail'], ['tail', 'alone']]
    for (const crash of [false, true, true]) {
      if (crash) await server.kill().then(() => server.start())
      for (const names of attempts) expect(await report(names, 'key-2')).toMatchObject(refused)
      expect((await report(['alone'], 'key-2')).status).toBe(200)
    }
    // Nothing is lost: a new key takes it.
    expect((await report(['alone', 'tail'], 'key-3')).status).toBe(200)
    await until(async () => (await reported()).includes('tail'), {
      timeoutMs: 20_000,
      what: 'the tail',
    })
    expect(await reported()).toEqual(['alone', 'alone', 'first', 'second', 'tail'])
  })

  test('of many payloads at once under one Idempotency-Key one is stored, and the others are refused', async () => {
    const names = Array.from({ length: 20 }, (_, n) => `at once ${n}`)
    const answers = await Promise.all(names.map((name) => report([name], 'key-4')))
    const accepted = names.filter((_, index) => answers[index]!.status === 200)
    expect(answers.filter(({ status }) => status === 422).length).toBe(19)
    await until(async () => (await reported()).includes(accepted[0]!), {
      timeoutMs: 20_000,
      what: 'the accepted report',
    })
    expect((await reported()).filter((name) => name.startsWith('at once'))).toEqual(accepted)
  })
})
