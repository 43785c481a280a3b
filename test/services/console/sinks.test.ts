import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { readTopic, requireKcat } from '../kafka-reader.ts'
import { shared } from '../shared.ts'
import { contracts, type Document, post, read, senders } from './support.ts'

const prefix = `console_${crypto.randomUUID()}`
const names = ['events', 'overflow', 'historical', 'recordings', 'link_events', 'dead_letters']
let brokers: readonly string[]
let server: Spillway

beforeAll(async () => {
  await requireKcat()
  brokers = await shared.kafka()
  server = await startSpillway(environment(prefix))
}, 120_000)
function environment(prefix: string): Record<string, string> {
  const topics = names.map((name) => [`KAFKA_TOPIC_${name.toUpperCase()}`, `${prefix}.${name}`])
  const kafka = { KAFKA_BROKERS: brokers.join(','), KAFKA_PARTITIONS: '5' }
  return { ...kafka, KAFKA_MESSAGE_BYTES_MAX: '64KiB', ...Object.fromEntries(topics) }
}

const patience = { timeoutMs: 30_000 }

afterAll(async () => await server?.[Symbol.asyncDispose]())

const stageOf = (event: Document, name: string) =>
  event.stages.find((stage: Document) => stage.name === name)

test.each(contracts)(
  'an event of %s is in the topic and partition that are told',
  async (contract) => {
    const sent = await senders[contract](server.url)
    const event = await until(
      async () => {
        const { events } = await read(server, `trace?id=${sent.requestId}`)
        const isThere = events[0]?.stages.every(({ state }: Document) => state === 'done')
        return isThere && events[0].kafka?.partition !== null && events[0]
      },
      { timeoutMs: 30_000 },
    )
    expect(event.kafka.topic).toBe(`${prefix}.${contract === 'link' ? 'link_events' : 'events'}`)
    const records = await readTopic(brokers, event.kafka.topic)
    const record = records.find(({ headers }) => headers.uuid === event.uuid)
    expect(record?.partition).toBe(event.kafka.partition)
  },
  40_000,
)

test('without ClickHouse an event is found in the journal, while it is there', async () => {
  await using alone = await startSpillway({ ...environment(`${prefix}_alone`), SINKS: 'kafka' })
  const sent = await senders.capture(alone.url)
  const document = await until(async () => {
    const found = await read(alone, `trace?id=${sent.requestId}`)
    return stageOf(found.events[0], 'kafka').state === 'done' && found
  }, patience)
  expect(document.events[0].line.uuid).toBe(document.events[0].uuid)
  expect(document.searched[2].detail).toContain('SINKS does not name it')
  expect(await read(alone, 'session')).toMatchObject({ clickhouse: 'off', sinks: ['kafka'] })
  const letters = await fetch(`${alone.url}/console/api/dead-letters`)
  expect(letters.status).toBe(503)
}, 60_000)

test('an event that Kafka refuses says so', async () => {
  const properties = {
    pad: Array.from({ length: 60_000 }, () => Math.random().toString(36)[2]).join(''),
  }
  const body = { api_key: 'phc_console', event: 'too large', distinct_id: 'ada', properties }
  const sent = await post(`${server.url}/e`, {
    ...body,
    properties: { ...properties, more: properties.pad },
  })
  expect(sent.status).toBe(200)
  const event = await until(
    async () => {
      const { events } = await read(server, `trace?id=${sent.requestId}`)
      return events[0] && stageOf(events[0], 'kafka')?.state === 'failed' && events[0]
    },
    { timeoutMs: 30_000 },
  )
  expect(stageOf(event, 'kafka').detail).toContain('record_too_large')
  expect(event.outcome).toBe('stored')
}, 40_000)
