import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { toDay } from '../../../src/delivery/archive/object-name.ts'
import { createFolderStore } from '../../../src/delivery/archive/store.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { startTraffic } from '../../support/traffic.ts'
import { until } from '../../support/until.ts'
import { type S3Service, startS3 } from '../s3.ts'
import { readArchive, uuidsIn } from './support.ts'

setDefaultTimeout(180_000)

let s3: S3Service
beforeAll(async () => {
  s3 = await startS3()
}, 180_000)
afterAll(() => s3.stop())
/** A test that fails must not leave the others without it. */
let isAway = false
afterEach(async () => {
  if (isAway) await comeBack()
})
async function goAway(): Promise<void> {
  isAway = true
  await s3.kill()
}
async function comeBack(): Promise<void> {
  await s3.restart()
  isAway = false
}

const patience = { timeoutMs: 60_000 }
const adminToken = 'a'.repeat(16)
const isOver = (server: Spillway) => async () => {
  const read = await scrape(server.url)
  return read('spillway_sink_waiting_records') === 0
}
const drained = (server: Spillway) =>
  until(isOver(server), { timeoutMs: 90_000, pauseMs: 100, what: 'an empty backlog' })

const toSettings = (prefix: string) => ({
  ...s3.environment,
  ...{ ARCHIVE: `s3://${s3.bucket}/${prefix}`, ARCHIVE_FLUSH_MS: '100' },
})

async function send({ url }: Spillway, count: number, size = 10): Promise<number> {
  const batch = Array.from({ length: count }, () => ({
    ...{ event: 'e', distinct_id: 'd', uuid: crypto.randomUUID() },
    properties: { text: Buffer.from(crypto.getRandomValues(new Uint8Array(size))).toString('hex') },
  }))
  const body = JSON.stringify({ api_key: 'phc_archive', batch })
  return (await fetch(`${url}/batch/`, { method: 'POST', body })).status
}

describe('the archive', () => {
  test('keeps every event in S3, with its range in the name', async () => {
    await using server = await startSpillway(toSettings('kept'))
    const traffic = startTraffic({ url: server.url, clients: 4 })
    await until(() => traffic.ledger.acknowledged.size > 1000, { timeoutMs: 60_000 })
    await traffic.stop()
    await drained(server)
    const archived = await readArchive(s3.open('kept'))
    expect(uuidsIn(archived).sort()).toEqual([...traffic.ledger.acknowledged].sort())
    expect(archived.length).toBeGreaterThan(1)
    for (const { object, uuids } of archived) {
      expect(object.day).toBe(toDay(object.fromMs))
      expect(object.lastOffset - object.firstOffset + 1).toBe(uuids.length)
    }
    const rows = await server.query<{ uuid: string }>('SELECT uuid FROM events')
    expect(rows).toHaveLength(traffic.ledger.acknowledged.size)
  })

  test('keeps events in a folder', async () => {
    using folder = temporaryFolder()
    await using server = await startSpillway({ ARCHIVE: folder.path, ARCHIVE_FLUSH_MS: '100' })
    expect(await send(server, 30)).toBe(200)
    await drained(server)
    expect(uuidsIn(await readArchive(createFolderStore(folder.path)))).toHaveLength(30)
  })

  test('holds segments back while it is away, and says so', async () => {
    const settings = { JOURNAL_MAX_BYTES: '16MiB', JOURNAL_SEGMENT_BYTES: '1MiB' }
    await using server = await startSpillway({
      ...toSettings('away'),
      ...settings,
      ADMIN_TOKEN: adminToken,
    })
    expect(await send(server, 10)).toBe(200)
    const headers = { authorization: `Bearer ${adminToken}` }
    const readHealth = async () => {
      const response = await fetch(`${server.url}/health`, { headers })
      // biome-ignore lint/suspicious/noExplicitAny: a document of the server.
      return (await response.json()) as any
    }
    await until(async () => (await readHealth()).sinks.archive.state === 'healthy', patience)
    await until(async () => (await readHealth()).sinks.archive.lagEvents === 0, patience)
    await goAway()
    let sent = 10
    let status = 200
    while (status === 200) {
      status = await send(server, 200, 2000)
      if (status === 200) sent += 200
    }
    expect(status).toBe(503)
    const rows = async () =>
      Number((await server.query<{ n: number }>('SELECT count() AS n FROM events'))[0]!.n)
    await until(async () => (await rows()) === sent, { timeoutMs: 60_000 })
    // A reading of health is up to a second old.
    await until(async () => (await readHealth()).sinks.archive.lagEvents === sent - 10, patience)
    const { sinks, status: state } = await readHealth()
    expect(sinks.archive.state).toBe('unhealthy')
    expect(sinks.archive.lastError).toContain('cannot write to s3://archive/away/')
    expect(sinks.clickhouse.state).toBe('healthy')
    expect(state).not.toBe('ok')
    expect(server.log()).toContain('cannot write to s3://archive/away/')
    const read = await scrape(server.url, adminToken)
    expect(read('spillway_sink_up', { sink: 'archive' })).toBe(0)
    const segments = () => readdirSync(join(server.dataDir, 'journal')).length
    const before = segments()
    await comeBack()
    await until(async () => (await readHealth()).sinks.archive.lagEvents === 0, {
      timeoutMs: 90_000,
    })
    await until(() => segments() < before, patience)
    expect(uuidsIn(await readArchive(s3.open('away')))).toHaveLength(sent)
    expect(await send(server, 1)).toBe(200)
  })

  test('loses nothing when the server is killed while it archives', async () => {
    await using server = await startSpillway({ ...toSettings('killed'), ARCHIVE_FLUSH_MS: '100' })
    const traffic = startTraffic({ url: server.url, clients: 4 })
    for (let round = 1; round <= 4; round += 1) {
      await until(() => traffic.ledger.acknowledged.size > round * 500, { timeoutMs: 60_000 })
      await server.kill()
      await server.start()
    }
    await traffic.stop()
    await drained(server)
    const archived = await readArchive(s3.open('killed'))
    const kept = uuidsIn(archived)
    expect(new Set(kept)).toEqual(new Set(kept.filter((uuid) => traffic.ledger.sent.has(uuid))))
    const lost = [...traffic.ledger.acknowledged].filter((uuid) => !kept.includes(uuid))
    expect(lost).toEqual([])
    // A range that was in flight is sent again as the same object.
    expect(kept).toHaveLength(new Set(kept).size)
  })

  test('that hangs holds neither the other sinks nor the stop', async () => {
    await using server = await startSpillway({ ...toSettings('hung'), SHUTDOWN_MS_MAX: '500' })
    s3.pause()
    try {
      expect(await send(server, 20)).toBe(200)
      const rows = () => server.query<{ n: string }>('SELECT count() AS n FROM events')
      await until(async () => Number((await rows())[0]!.n) === 20, { timeoutMs: 30_000 })
      expect(await server.stop()).toBe(3)
    } finally {
      s3.resume()
    }
    await server.start()
    await drained(server)
    const archived = uuidsIn(await readArchive(s3.open('hung')))
    expect([archived.length, new Set(archived).size]).toEqual([20, 20])
  })

  test('with a wrong key says why, and takes events', async () => {
    await using server = await startSpillway({
      ...toSettings('refused'),
      S3_ACCESS_KEY_ID: 'somebody',
      ADMIN_TOKEN: adminToken,
    })
    expect(await send(server, 1)).toBe(200)
    await until(() => server.log().includes('InvalidAccessKeyId'), patience)
  })

  test('that is no longer set must have everything, or be given up', async () => {
    await using server = await startSpillway({ ...toSettings('unset'), SHUTDOWN_MS_MAX: '500' })
    await goAway()
    expect(await send(server, 5)).toBe(200)
    expect(await server.stop()).toBe(3)
    const withoutArchive = { ARCHIVE: '' }
    await expect(server.start(withoutArchive)).rejects.toThrow('the server ended with 1')
    expect(server.log()).toContain('ARCHIVE is not set, and the archive lacks 5 records')
    await server.start({ ...withoutArchive, SINKS_ABANDON: 'archive' })
    expect(server.log()).toContain('sink is switched off; it never gets these records')
  })
})
