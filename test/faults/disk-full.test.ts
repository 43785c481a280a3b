import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { explained } from '../support/explained.ts'
import { temporaryFolder } from '../support/folder.ts'
import { nothingWrong } from '../support/reconcile.ts'
import { settle, startRemoteClickHouse } from '../support/remote-clickhouse.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { canMount, mountTinyDisk } from '../support/tiny-disk.ts'
import { type Ledger, startTraffic, type Traffic } from '../support/traffic.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(120_000)

const mib = 1024 * 1024
/** Small, so that the disk fills up within seconds. */
const small = {
  JOURNAL_SEGMENT_BYTES: '1MiB',
  JOURNAL_MAX_BYTES: '16MiB',
  CLICKHOUSE_TIMEOUT_MS: '5000',
}
const saysClickHouseIsFull = (server: Spillway) =>
  server.log().includes('"reason":"not_enough_space"')
const patient = { timeoutMs: 60_000, pauseMs: 20 }

type Trouble = { server: Spillway; harm(): unknown; heal(): unknown }

const pass = (trouble: Trouble) => explained(trouble.server, () => passThrough(trouble))

/**
 * Traffic over a full disk: 503 meanwhile; afterwards every event is stored once, without a
 * restart.
 */
async function passThrough({ server, harm, heal }: Trouble): Promise<void> {
  const traffic = startTraffic({ url: server.url, clients: 4 })
  const pid = server.pid()
  await acknowledgeMore(traffic)
  await harm()
  const refused = await until(() => refusalOf(server), { ...patient, what: 'a refused request' })
  await until(async () => (await fetch(`${server.url}/_readiness`)).status === 503, patient)
  await heal()
  await acknowledgeMore(traffic)
  await traffic.stop()

  expect(refused).toEqual({ retryAfter: '1', error: 'journal_full' })
  expect([...traffic.ledger.statuses.keys()].sort()).toEqual([200, 503])
  expect(traffic.ledger.acknowledged.size).toBe(traffic.ledger.sent.size)
  expect(await settle(server, traffic.ledger)).toEqual(nothingWrong)
  await until(async () => (await fetch(`${server.url}/_readiness`)).ok, patient)
  expect(server.pid()).toBe(pid)
}

async function acknowledgeMore({ ledger }: Traffic): Promise<void> {
  const enough = ledger.acknowledged.size + 500
  await until(() => ledger.acknowledged.size >= enough, { ...patient, what: 'acknowledgements' })
}

/** The refusal of one event of a few kilobytes; undefined if it is accepted. */
async function refusalOf({ url }: Spillway) {
  // An accepted event would not be in the ledger, so it has no identity and no counted row.
  const event = { event: '', distinct_id: 'probe', properties: { text: 'x'.repeat(4096) } }
  const body = JSON.stringify({ api_key: 'phc_test', batch: [event] })
  const reply = await fetch(`${url}/batch/`, { method: 'POST', body })
  const { error } = (await reply.json()) as { error?: string }
  return reply.status === 503 ? { retryAfter: reply.headers.get('retry-after'), error } : undefined
}

/** Undefined while it is ready, is starting, or does not listen. */
async function readReason({ url }: Spillway): Promise<string | undefined> {
  const readiness = await fetch(`${url}/_readiness`).catch(() => undefined)
  const { reason } = ((await readiness?.json()) ?? {}) as { reason?: string }
  return reason === 'starting' ? undefined : reason
}

/** Sends events until they are refused for lack of space. */
async function fillJournal({ url }: Spillway): Promise<Ledger> {
  const ledger: Ledger = { sent: new Map(), acknowledged: new Set(), statuses: new Map() }
  const properties = { text: 'x'.repeat(8192) }
  for (;;) {
    const uuids = Array.from({ length: 64 }, () => crypto.randomUUID())
    for (const uuid of uuids) ledger.sent.set(uuid, JSON.stringify(properties))
    const batch = uuids.map((uuid) => ({ uuid, event: 'e', distinct_id: 'd', properties }))
    const body = JSON.stringify({ api_key: 'phc_test', batch })
    const { status } = await fetch(`${url}/batch/`, { method: 'POST', body })
    if (status === 503) return ledger
    expect(status).toBe(200)
    for (const uuid of uuids) ledger.acknowledged.add(uuid)
  }
}

describe.skipIf(!canMount)('a full disk', () => {
  test('leaves the embedded ClickHouse space to drain the journal that filled it', async () => {
    using disk = mountTinyDisk(64 * mib)
    const settings = { ...small, JOURNAL_MAX_BYTES: '1GiB', DATA_DIR: disk.path }
    const nowhere = { CLICKHOUSE_URL: 'http://127.0.0.1:1' }
    const ledger = await startSpillway({ ...settings, ...nowhere }).then(async (server) => {
      await using stopped = server
      return await fillJournal(stopped)
    })
    expect(ledger.acknowledged.size).toBeGreaterThan(5000)
    await using server = await startSpillway({ ...settings, CLICKHOUSE_BYTES_MAX: '1MiB' })
    await explained(server, async () => {
      expect(await settle(server, ledger)).toEqual(nothingWrong)
    })
  })

  test('of the journal while ClickHouse is unreachable: refuses, then stores all', async () => {
    using disk = mountTinyDisk(8 * mib)
    await using setup = await startRemoteClickHouse({ ...small, DATA_DIR: disk.path })
    const { server, clickhouse } = setup
    await pass({ server, harm: () => clickhouse.kill(), heal: () => clickhouse.restart() })
  })

  test('of the journal, filled by another program: refuses, then stores all', async () => {
    using disk = mountTinyDisk(16 * mib)
    await using setup = await startRemoteClickHouse({ ...small, DATA_DIR: disk.path })
    await pass({ ...setup, harm: disk.fill, heal: disk.empty })
  })

  test('is told as such by readiness', async () => {
    using disk = mountTinyDisk(16 * mib)
    const nowhere = { CLICKHOUSE_URL: 'http://127.0.0.1:1', DATA_DIR: disk.path }
    await using server = await startSpillway({ ...small, ...nowhere })
    expect(await refusalOf(server)).toBeUndefined()
    // The shippers have started: they try to deliver the dead letter.
    await until(() => server.log().includes('sink failed, retrying'), patient)
    disk.fill()
    await fillJournal(server)
    await until(() => refusalOf(server), { ...patient, what: 'a refused request' })
    expect(await until(() => readReason(server), patient)).toBe('disk_full')
  })

  test('before the shippers have started: unready, and all is stored once there is space', async () => {
    using folder = temporaryFolder()
    const state = join(folder.path, 'state')
    mkdirSync(state)
    using disk = mountTinyDisk(mib, state)
    await using server = await startSpillway({ ...small, DATA_DIR: folder.path })
    await server.stop()
    rmSync(join(state, 'cursors.sqlite'))
    disk.fill()
    void server.start().catch(() => {})
    expect(await until(() => readReason(server), patient)).toBe('disk_full')
    const event = { event: 'early', distinct_id: 'd', uuid: crypto.randomUUID() }
    const body = JSON.stringify({ api_key: 'phc_test', batch: [event] })
    const { status } = await fetch(`${server.url}/batch/`, { method: 'POST', body })
    expect(status).toBe(200)
    // It can be stopped meanwhile.
    expect(await server.stop()).toBe(3)
    const again = server.start()
    expect(await until(() => readReason(server), patient)).toBe('disk_full')
    disk.empty()
    await again
    const sql = `SELECT 1 FROM events WHERE uuid = '${event.uuid}'`
    await until(async () => (await server.query(sql)).length === 1, patient)
  })

  test('of ClickHouse until the journal is full too: refuses, then stores all', async () => {
    using disk = mountTinyDisk(96 * mib)
    await using setup = await startRemoteClickHouse(small, disk.path)
    await pass({ ...setup, harm: disk.fill, heal: disk.empty })
    expect(saysClickHouseIsFull(setup.server)).toBe(true)
  })

  test('of journal and remote ClickHouse: refuses, then stores all', async () => {
    using disk = mountTinyDisk(96 * mib)
    const [DATA_DIR, path] = ['data', 'engine'].map((name) => join(disk.path, name))
    mkdirSync(DATA_DIR!)
    await using setup = await startRemoteClickHouse({ ...small, DATA_DIR: DATA_DIR! }, path)
    await pass({ ...setup, harm: disk.fill, heal: disk.empty })
    expect(saysClickHouseIsFull(setup.server)).toBe(true)
  })

  test('of journal and embedded ClickHouse: refuses, then stores all', async () => {
    using disk = mountTinyDisk(128 * mib)
    await using server = await startSpillway({ ...small, DATA_DIR: disk.path })
    await pass({ server, harm: disk.fill, heal: disk.empty })
    expect(saysClickHouseIsFull(server)).toBe(true)
  })
})
