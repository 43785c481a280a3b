import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { markForgotten } from '../../../src/delivery/archive/forgotten.ts'
import { createFolderStore } from '../../../src/delivery/archive/store.ts'
import { toTopicSettings } from '../../support/delivery.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { nothingWrong, reconcile, type Stored } from '../../support/reconcile.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { type Ledger, startTraffic } from '../../support/traffic.ts'
import { until } from '../../support/until.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'
import { readTopic, requireKcat } from '../kafka-reader.ts'
import { type S3Service, startS3 } from '../s3.ts'
import { shared } from '../shared.ts'
import { runCli } from './support.ts'

setDefaultTimeout(240_000)

let s3: S3Service
let clickhouse: ClickHouseService
beforeAll(async () => {
  await requireKcat()
  ;[s3, clickhouse] = await Promise.all([startS3(), startClickHouse()])
}, 180_000)
afterAll(async () => {
  await Promise.all([s3.stop(), clickhouse.stop()])
})

const from = new Date(Date.now() - 3_600_000).toISOString()

async function send(server: Spillway, project: string, count: number): Promise<string[]> {
  const uuids = Array.from({ length: count }, () => crypto.randomUUID())
  const batch = uuids.map((uuid) => ({ event: 'e', distinct_id: 'd', uuid, properties: {} }))
  const body = JSON.stringify({ api_key: project, batch })
  expect((await fetch(`${server.url}/batch/`, { method: 'POST', body })).status).toBe(200)
  return uuids
}

const drained = ({ url }: Spillway) =>
  until(async () => (await scrape(url))('spillway_sink_waiting_records') === 0, {
    ...{ timeoutMs: 90_000, pauseMs: 100, what: 'an empty backlog' },
  })

async function query<T>(database: string, sql: string): Promise<T[]> {
  const parameters = new URLSearchParams({ default_format: 'JSONEachRow', database })
  const reply = await fetch(`${clickhouse.url}/?${parameters}`, { method: 'POST', body: sql })
  const text = await reply.text()
  if (!reply.ok) throw new Error(text)
  return text.split('\n').flatMap((line) => (line ? [JSON.parse(line)] : []))
}

/** An archive that a server has filled, and the settings of a replay from it into an empty database. */
async function fillArchive(prefix: string, eventsMin: number) {
  const settings = { ...s3.environment, ARCHIVE: `s3://${s3.bucket}/${prefix}` }
  await using server = await startSpillway({ ...settings, ARCHIVE_FLUSH_MS: '100' })
  const traffic = startTraffic({ url: server.url, clients: 4 })
  await until(() => traffic.ledger.acknowledged.size > eventsMin, { timeoutMs: 60_000 })
  await traffic.stop()
  await drained(server)
  const database = `replay_${crypto.randomUUID().replaceAll('-', '')}`
  const url = `${clickhouse.url}/${database}`
  return { settings: { ...settings, CLICKHOUSE_URL: url }, database, ledger: traffic.ledger }
}

async function settled(database: string, ledger: Ledger) {
  return reconcile(ledger, await query<Stored>(database, 'SELECT uuid, properties FROM events'))
}

/** Creates the tables, and stops the merges, which would remove a duplicate before the test sees it. */
async function prepare(database: string, environment: Record<string, string>): Promise<void> {
  const nothing = ['--from', '2020-01-01', '--to', '2020-01-02']
  const { exitCode, errors } = await runCli('replay', nothing, environment).ended
  expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: '' })
  const setting = 'max_bytes_to_merge_at_max_space_in_pool = 1'
  await query(database, `ALTER TABLE events MODIFY SETTING ${setting}`)
}

describe('replay', () => {
  test('fills a new ClickHouse exactly once, whenever it is killed', async () => {
    const { settings, database, ledger } = await fillArchive('killed', 3000)
    using folder = temporaryFolder()
    const environment = { ...settings, DATA_DIR: folder.path, CLICKHOUSE_ROWS_MAX: '20' }
    await prepare(database, environment)
    const args = ['--from', from, '--sink', 'clickhouse']
    const rows = async () =>
      Number((await query<{ n: string }>(database, 'SELECT count() AS n FROM events'))[0]!.n)
    const total = ledger.acknowledged.size
    let said = ''
    for (const share of [0.1, 0.4, 0.7]) {
      const { child, ended } = runCli('replay', args, environment)
      await until(async () => (await rows()) > share * total, { timeoutMs: 60_000 })
      child.kill('SIGKILL')
      said += (await ended).errors
    }
    const { output, errors, exitCode } = await runCli('replay', args, environment).ended
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(said + errors).toMatch(/continuing after \d+ objects of an interrupted replay/)
    expect(await settled(database, ledger)).toEqual(nothingWrong)
    expect(await rows()).toBe(total)
    expect(readdirSync(join(folder.path, 'replay')).filter((name) => !/lock$/.test(name))).toEqual(
      [],
    )
    const again = await runCli('replay', args, environment).ended
    expect(again.output).toContain(`${total} records: clickhouse got 0`)
    expect(await rows()).toBe(total)
  })

  test('sends every record of a lost topic again, of one project and one time', async () => {
    const settings = { ...s3.environment, ARCHIVE: `s3://${s3.bucket}/topic` }
    const brokers = (await shared.kafka()).join(',')
    await using server = await startSpillway({ ...settings, ARCHIVE_FLUSH_MS: '100' })
    await send(server, 'phc_early', 5)
    await drained(server)
    const middle = new Date().toISOString()
    const wanted = await send(server, 'phc_wanted', 10)
    await send(server, 'phc_other', 5)
    await drained(server)
    using folder = temporaryFolder()
    const topics = toTopicSettings(`replay_${crypto.randomUUID()}`)
    const kafka = { ...settings, ...topics, SINKS: 'kafka', KAFKA_BROKERS: brokers }
    const environment = { ...kafka, DATA_DIR: folder.path }
    const uuidsIn = async () =>
      (await readTopic(brokers.split(','), topics.KAFKA_TOPIC_EVENTS)).map(
        ({ headers }) => headers.uuid!,
      )
    const ofProject = ['--from', middle, '--project', 'phc_wanted']
    const first = await runCli('replay', ofProject, environment).ended
    expect(first.output).toMatch(/^object \d+ of \d+, 10 records: kafka got 10\n$/)
    expect((await uuidsIn()).sort()).toEqual(wanted.toSorted())
    const before = await runCli('replay', ['--from', from, '--to', middle], environment).ended
    expect(before.output).toContain('5 records: kafka got 5')
    expect(await uuidsIn()).toHaveLength(15)
  })

  test('sends every record to Kafka at least once, although it is killed', async () => {
    const { settings, ledger } = await fillArchive('kafka-killed', 2000)
    const brokers = await shared.kafka()
    const topics = toTopicSettings(`killed_${crypto.randomUUID()}`)
    using folder = temporaryFolder()
    const { CLICKHOUSE_URL: _, ...archive } = settings
    const environment = {
      ...{ ...archive, ...topics, SINKS: 'kafka', KAFKA_BROKERS: brokers.join(',') },
      KAFKA_COMPRESS_ABOVE_BYTES: '0', // kcat prints the values as lines.
      DATA_DIR: folder.path,
    }
    const args = ['--from', from, '--sink', 'kafka']
    const sentIn = async () => {
      const records = await readTopic(brokers, topics.KAFKA_TOPIC_EVENTS)
      return records.map(({ headers }) => headers.uuid!)
    }
    const { child, ended } = runCli('replay', args, environment)
    await until(async () => (await sentIn()).length > 100, { timeoutMs: 60_000 })
    child.kill('SIGKILL')
    await ended
    const { exitCode, errors } = await runCli('replay', args, environment).ended
    expect({ exitCode, errors }).toMatchObject({ exitCode: 0 })
    const sent = await sentIn()
    expect([...ledger.acknowledged].filter((uuid) => !sent.includes(uuid))).toEqual([])
    expect(sent.filter((uuid) => !ledger.sent.has(uuid))).toEqual([])
  })

  test('fills the embedded ClickHouse of a stopped server', async () => {
    using folder = temporaryFolder()
    await using server = await startSpillway({ ARCHIVE: folder.path, ARCHIVE_FLUSH_MS: '100' })
    const uuids = await send(server, 'phc_embedded', 25)
    await drained(server)
    const environment = { ARCHIVE: folder.path, DATA_DIR: server.dataDir }
    const refused = await runCli('replay', ['--from', from], environment).ended
    expect(refused.exitCode).toBe(1)
    expect(refused.errors).toContain(`a server uses ${server.dataDir} and its embedded ClickHouse`)
    await server.stop()
    rmSync(join(server.dataDir, 'clickhouse'), { recursive: true })
    const { exitCode, output, errors } = await runCli('replay', ['--from', from], environment).ended
    expect({ exitCode, output, errors }).toMatchObject({ exitCode: 0, errors: '' })
    await server.start()
    const rows = await server.query<{ uuid: string }>('SELECT uuid FROM events')
    expect(rows.map(({ uuid }) => uuid).sort()).toEqual(uuids.toSorted())
  })

  test('names an object that it cannot read, and sends the others', async () => {
    using folder = temporaryFolder()
    await using server = await startSpillway({ ARCHIVE: folder.path, ARCHIVE_FLUSH_MS: '100' })
    await send(server, 'phc_damaged', 5)
    await drained(server)
    const [day] = readdirSync(folder.path)
    const [damaged] = readdirSync(join(folder.path, day!))
    const path = join(folder.path, day!, damaged!)
    writeFileSync(path, readFileSync(path).subarray(0, 40))
    const uuids = await send(server, 'phc_damaged', 7)
    await drained(server)
    const database = `damaged_${crypto.randomUUID().replaceAll('-', '')}`
    const url = `${clickhouse.url}/${database}`
    const environment = { ARCHIVE: folder.path, DATA_DIR: folder.path, CLICKHOUSE_URL: url }
    const { exitCode, errors } = await runCli('replay', ['--from', from], environment).ended
    expect(exitCode).toBe(3)
    expect(errors).toContain(`cannot read ${day}/${damaged}: `)
    const rows = await query<{ uuid: string }>(database, 'SELECT uuid FROM events')
    expect(rows.map(({ uuid }) => uuid).sort()).toEqual(uuids.toSorted())
  })

  test('names who was forgotten while it ran', async () => {
    using folder = temporaryFolder()
    await using server = await startSpillway({ ARCHIVE: folder.path, ARCHIVE_FLUSH_MS: '100' })
    await send(server, 'phc_forgotten', 100)
    await drained(server)
    const database = `forgotten_${crypto.randomUUID().replaceAll('-', '')}`
    const url = `${clickhouse.url}/${database}`
    const environment = { ARCHIVE: folder.path, DATA_DIR: folder.path, CLICKHOUSE_URL: url }
    await prepare(database, environment)
    const args = ['--from', from]
    const slow = { ...environment, CLICKHOUSE_ROWS_MAX: '1' }
    const { ended } = runCli('replay', args, slow)
    await until(async () => (await query(database, 'SELECT uuid FROM events LIMIT 1')).length > 0, {
      timeoutMs: 60_000,
    })
    // As the server marks it: the command would take longer to start than this replay takes.
    const person = { project: 'phc_forgotten', distinctId: 'd' }
    await markForgotten(createFolderStore(folder.path), person)
    const { exitCode, errors } = await ended
    expect(errors).toContain('d of phc_forgotten was forgotten while this replay ran')
    expect(exitCode).toBe(1)
    const again = await runCli('replay', args, environment).ended
    expect(again).toMatchObject({ exitCode: 0, errors: '' })
    expect(again.output).toContain(' 0 records: clickhouse got 0')
  })

  test.each([
    [[], '--from is missing', 64],
    [['--from', 'yesterday'], '--from "yesterday" is not a time such as 2026-11-29', 64],
    [['--from', from, '--to', '2020-01-01'], 'is not before --to 2020-01-01', 64],
    [['--from', '2999-01-01'], '--from 2999-01-01 is not before now', 64],
    [['--from', from, '--sink', 'kafka'], '--sink kafka is not one of clickhouse', 64],
    [['--from', from, '--sink', 'archive'], '--sink archive is not one of clickhouse', 64],
    [['--from', from], 'does not exist; create it, or mount its disk', 1],
  ])('with %j ends with a sentence', async (args, text, code) => {
    using folder = temporaryFolder()
    const environment = { ARCHIVE: join(folder.path, 'missing'), DATA_DIR: folder.path }
    const { exitCode, errors } = await runCli('replay', args, environment).ended
    expect(errors).toContain(text)
    expect(exitCode).toBe(code)
    expect(existsSync(join(folder.path, 'missing'))).toBe(false)
  })

  test('without an archive names the setting', async () => {
    const { exitCode, errors } = await runCli('replay', ['--from', from], {}).ended
    expect({ exitCode, errors }).toEqual({
      exitCode: 1,
      errors: 'ARCHIVE is not set; set it to s3://bucket/prefix, or to a folder\n',
    })
  })
})
