import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toPartition } from '../../src/delivery/kafka/topic.ts'
import { requireCommand, requireKafkaJars } from '../services/install.ts'
import { requireKcat } from '../services/kafka-reader.ts'
import { shared } from '../services/shared.ts'
import { toTopicSettings } from '../support/delivery.ts'
import { blocksOf } from '../support/documents.ts'
import { temporaryFolder } from '../support/folder.ts'
import { scrape } from '../support/metrics.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(120_000)

/** Runs the commands of docs/kafka.md on topics of this test. */
const page = 'docs/kafka.md'
const prefix = `document${process.pid}`
const folder = temporaryFolder()
let brokers: string[]
let server: Spillway
let shell: string[]
let java: string

const small = { event: 'signed_up', uuid: crypto.randomUUID(), distinct_id: 'user-1' }
const large = { event: 'bought', uuid: crypto.randomUUID(), distinct_id: 'grüße 😀' }
const events = [
  { ...small, properties: { plan: 'scale' } },
  { ...large, properties: { text: 'ü'.repeat(3000) } },
]
const keyOf = ({ distinct_id: user }: { distinct_id: string }) => `phc_document:${user}`
const partitionOf = (event: { distinct_id: string }) => toPartition(Buffer.from(keyOf(event)), 2)

beforeAll(async () => {
  await requireKcat()
  brokers = await shared.kafka()
  shell = blocksOf(page, 'sh').map(toOwn)
  java = toOwn(blocksOf(page, 'java')[0]!)
  server = await startSpillway({
    ...toTopicSettings(prefix),
    KAFKA_TOPIC_DEAD_LETTERS: `${prefix}_dead_letters`,
    KAFKA_BROKERS: brokers.join(','),
    // No server listens there: this test needs Kafka only.
    CLICKHOUSE_URL: 'http://127.0.0.1:1',
  })
  const body = JSON.stringify({
    api_key: 'phc_document',
    batch: [...events, { event: 'nobody’s' }],
  })
  expect((await fetch(`${server.url}/batch/`, { method: 'POST', body })).status).toBe(200)
  const readWaiting = async () =>
    (await scrape(server.url))('spillway_sink_waiting_records', { sink: 'kafka' })
  await until(async () => (await readWaiting()) === 0, {
    timeoutMs: 60_000,
    what: 'delivery to Kafka',
  })
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const toOwn = (text: string) =>
  text
    .replaceAll('localhost:9092', brokers.join(','))
    .replaceAll('-t events', `-t ${prefix}_events`)
    .replaceAll('-t dead_letters', `-t ${prefix}_dead_letters`)
    .replaceAll('"events"', `"${prefix}_events"`)
    .replaceAll('"readers"', `"${prefix}_readers"`)

async function run(command: string): Promise<string> {
  const child = Bun.spawn(['sh', '-c', command], { stdout: 'pipe', stderr: 'inherit' })
  return await child.stdout.text()
}

test('kcat shows partition, key, headers and size', async () => {
  const lines = (await run(shell[0]!)).trim().split('\n').sort()
  const expected = events.map((event) => {
    const head = `^${partitionOf(event)} \\d+ ${keyOf(event)} `
    const headers = `uuid=${event.uuid},event=${event.event},source=capture`
    return new RegExp(
      `${head}${headers}${event === events[1] ? ',content-encoding=gzip' : ''} \\d+$`,
    )
  })
  expect(lines.length).toBe(2)
  for (const pattern of expected) expect(lines.some((line) => pattern.test(line))).toBe(true)
})

test('kcat and gunzip show one value', async () => {
  const place = (await run(shell[0]!)).split('\n').find((line) => line.includes('gzip'))!
  const [partition, offset] = place.split(' ')
  const command = shell[1]!.replace('-p 0 -o 42', `-p ${partition} -o ${offset}`)
  const row = JSON.parse(await run(command))
  expect(row).toMatchObject({ ...events[1], project: 'phc_document', source: 'capture' })
})

test('a record has the fields of the example', async () => {
  const place = (await run(shell[0]!)).split('\n').find((line) => !line.includes('gzip'))!
  const [partition, offset] = place.split(' ')
  const command = shell[1]!.replace('-p 0 -o 42', `-p ${partition} -o ${offset}`)
  const row = JSON.parse(await run(command.replace(' | gunzip', '')))
  const [example = ''] = blocksOf(page, 'json')
  const toTypes = (value: object) =>
    Object.entries(value).map(([name, field]) => [name, typeof field])
  expect(toTypes(JSON.parse(example))).toEqual(toTypes(row))
})

test('kcat shows the reason of a rejected event', async () => {
  const [line, ...others] = (await run(shell[2]!)).trim().split('\n')
  expect(others).toEqual([])
  const [key, headers, ...value] = line!.split(' ')
  expect(key).toBe('phc_document')
  expect(headers).toMatch(/^uuid=[-0-9a-f]{36},event=missing_distinct_id,source=capture$/)
  const row = JSON.parse(value.join(' '))
  expect(row).toMatchObject({ reason: 'missing_distinct_id', stage: 'normalise' })
  expect(JSON.parse(row.raw)).toEqual({ event: 'nobody’s' })
})

test('the Java consumer reads keys and values, also compressed ones', async () => {
  await requireCommand('javac', 'default-jdk-headless')
  const source = join(folder.path, 'Events.java')
  writeFileSync(source, java)
  const classPath = join(await requireKafkaJars(), '*')
  const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'
  const child = Bun.spawn(['java', '-Dfile.encoding=UTF-8', quiet, '-cp', classPath, source], {
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
    stdout: 'pipe',
    stderr: 'inherit',
  })
  try {
    const lines = await readLines(child.stdout, 2)
    const rows = lines.map((line) => {
      const [partition, rest = ''] = [
        line.slice(0, line.indexOf(' ')),
        line.slice(line.indexOf(' ')),
      ]
      const [, key, value = ''] = /^ (.*?) (\{.*)$/.exec(rest) ?? []
      return { partition: Number(partition), key, row: JSON.parse(value) }
    })
    const expected = events.map((event) => ({
      ...{ partition: partitionOf(event), key: keyOf(event), row: expect.objectContaining(event) },
    }))
    type Keyed = { key: string | undefined }
    const byKey = (a: Keyed, b: Keyed) => (a.key! < b.key! ? -1 : 1)
    expect(rows.sort(byKey)).toEqual(expected.sort(byKey))
  } finally {
    child.kill('SIGKILL')
    await child.exited
  }
})

/** Reads the first lines only: the consumer does not end by itself. */
async function readLines(stream: ReadableStream<Uint8Array>, count: number): Promise<string[]> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    const lines = text.split('\n')
    if (lines.length > count) return lines.slice(0, count)
  }
  throw new Error(`the consumer ended after ${text}`)
}
