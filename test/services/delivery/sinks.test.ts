import { beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { toTopicSettings } from '../../support/delivery.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { readTopic, requireKcat } from '../kafka-reader.ts'
import { shared } from '../shared.ts'

setDefaultTimeout(120_000)
let brokers: string[]

beforeAll(async () => {
  await requireKcat()
  brokers = await shared.kafka()
}, 120_000)

/** Settings with topics of their own. */
function makeSettings() {
  const topics = toTopicSettings(`sinks_${crypto.randomUUID()}`)
  const settings = { ...topics, KAFKA_BROKERS: brokers.join(','), ADMIN_TOKEN: 'a'.repeat(16) }
  return { settings, topic: topics.KAFKA_TOPIC_EVENTS }
}

async function send({ url }: Spillway, names: readonly string[]): Promise<void> {
  const batch = names.map((event) => ({ event, distinct_id: 'd', properties: {} }))
  const body = JSON.stringify({ api_key: 'phc_sinks', batch })
  const { status } = await fetch(`${url}/batch/`, { method: 'POST', body })
  expect(status).toBe(200)
}

const namesIn = async (topic: string) =>
  (await readTopic(brokers, topic)).map(({ headers }) => headers.event!)

/** Files that are mapped into the process. */
const mapsOf = (server: Spillway) => readFileSync(`/proc/${server.pid()}/maps`, 'utf8')
const isOpen = (url: string) =>
  fetch(`${url}/ping`).then(
    () => true,
    () => false,
  )

describe('SINKS', () => {
  test('=kafka delivers without any ClickHouse', async () => {
    const { settings, topic } = makeSettings()
    await using server = await startSpillway({ ...settings, SINKS: 'kafka' })
    await send(server, ['one', 'two'])
    await until(async () => (await namesIn(topic)).length === 2, { timeoutMs: 30_000 })
    expect(mapsOf(server)).not.toMatch(/chdb|clickhouse/i)
    expect(await isOpen(server.queryUrl)).toBe(false)
    const headers = { authorization: `Bearer ${settings.ADMIN_TOKEN}` }
    const readHealth = async () => {
      const response = await fetch(`${server.url}/health`, { headers })
      return (await response.json()) as { status: string; sinks: object }
    }
    await until(async () => (await readHealth()).status === 'ok')
    expect(Object.keys((await readHealth()).sinks)).toEqual(['kafka'])
    const metrics = await (await fetch(`${server.url}/metrics`, { headers })).text()
    expect(metrics).toContain('sink="kafka"')
    expect(metrics).not.toContain('sink="clickhouse"')
    const platform = (await (await fetch(`${server.url}/api/health`)).json()) as { status: string }
    expect(platform.status).toBe('healthy')
  })

  test('=clickhouse leaves Kafka out although brokers are set', async () => {
    const { settings, topic } = makeSettings()
    await using server = await startSpillway({ ...settings, SINKS: 'clickhouse' })
    await send(server, ['one'])
    await until(async () => (await server.query('SELECT 1 FROM events')).length === 1)
    expect(await namesIn(topic)).toEqual([])
  })

  test.each([
    ['an unknown sink', { SINKS: 'kafka,s3' }, 'SINKS \\"s3\\" is not a sink'],
    ['no sink', { SINKS: ',' }, 'SINKS names no sink'],
    ['Kafka without brokers', { SINKS: 'kafka' }, 'KAFKA_BROKERS is empty'],
  ])('with %s ends the start', async (_, settings, message) => {
    using folder = temporaryFolder()
    const script = join(import.meta.dir, '../../../src/start.sh')
    const env = { PATH: process.env.PATH!, PORT: '0', DATA_DIR: folder.path, ...settings }
    const child = Bun.spawn(['sh', script], { env, stdout: 'pipe', stderr: 'pipe' })
    const output = (await child.stdout.text()) + (await child.stderr.text())
    expect(await child.exited).not.toBe(0)
    expect(output).toContain(message)
  })
})

describe('a sink that is switched off', () => {
  test('is refused while it lacks records; given up, it no longer holds the journal', async () => {
    const { settings, topic } = makeSettings()
    const unreachable = { KAFKA_BROKERS: '127.0.0.1:1', SHUTDOWN_MS_MAX: '1000' }
    await using server = await startSpillway({ ...settings, ...unreachable })
    await send(server, ['one', 'two'])
    await until(async () => (await server.query('SELECT 1 FROM events')).length === 2)
    await server.stop()
    await expect(server.start({ SINKS: 'clickhouse' })).rejects.toThrow('the server ended with 1')
    expect(server.log()).toContain('SINKS does not name kafka, which lacks 2 records')
    await server.start({ SINKS: 'clickhouse', SINKS_ABANDON: 'kafka' })
    await send(server, ['three'])
    await until(async () => (await server.query('SELECT 1 FROM events')).length === 3)
    await until(async () => {
      const read = await scrape(server.url, settings.ADMIN_TOKEN)
      return read('spillway_sink_waiting_records') === 0
    })
    await server.stop()
    // It is known to be off now. Back on, it gets what the journal still holds: each start begins a
    // segment, and the segment of the records that were given up is removed.
    await server.start({ SINKS: 'clickhouse' })
    await server.stop()
    await server.start({ KAFKA_BROKERS: settings.KAFKA_BROKERS })
    expect(server.log()).toContain('records before `from` are no longer in the journal')
    await send(server, ['four'])
    await until(async () => (await namesIn(topic)).length === 2, { timeoutMs: 30_000 })
    expect((await namesIn(topic)).sort()).toEqual(['four', 'three'])
  })

  test('can be ClickHouse, which gets the rest of the journal once when it returns', async () => {
    const { settings } = makeSettings()
    await using server = await startSpillway(settings)
    await send(server, ['one'])
    await until(async () => (await server.query('SELECT 1 FROM events')).length === 1)
    await server.stop()
    await server.start({ SINKS: 'kafka' })
    await send(server, ['two'])
    await server.kill()
    await server.start({ SINKS: 'clickhouse,kafka' })
    await send(server, ['three'])
    const select = 'SELECT event FROM events ORDER BY timestamp, event'
    await until(async () => (await server.query(select)).length === 3)
    expect(
      (await server.query<{ event: string }>(select)).map(({ event }) => event).sort(),
    ).toEqual(['one', 'three', 'two'])
  })
})
