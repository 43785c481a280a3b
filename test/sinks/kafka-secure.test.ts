import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createKafkaSink } from '../../src/sinks/kafka.ts'
import type { KafkaSettings } from '../../src/sinks/kafka-settings.ts'
import { type KafkaService, startKafka } from '../services/kafka.ts'
import { until } from '../support/until.ts'
import { makeLog, makeRecord, makeSettings, toBatch } from './kafka-fixtures.ts'
import { readTopic } from './kafka-reader.ts'

const startMsMax = 120_000
const user = { username: 'alice', password: 'alice-secret' }
let kafka: KafkaService

beforeAll(async () => {
  kafka = await startKafka({ user })
}, startMsMax)
afterAll(() => kafka.stop())

function makeSink(prefix: string, overrides: Partial<KafkaSettings>) {
  const tls = { caFile: kafka.secure.caFiles[0] }
  const settings = { ...makeSettings(kafka.secure.brokers, prefix), tls, ...overrides }
  const log = makeLog()
  return { log, topics: settings.topics, sink: createKafkaSink({ settings, log, now: Date.now }) }
}

const { signal } = new AbortController()

describe('over TLS', () => {
  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)(
    'records arrive with a log-in by %s',
    async (mechanism) => {
      const { sink, topics } = makeSink(mechanism, { sasl: { mechanism, ...user } })
      await sink.ship(toBatch([makeRecord({ uuid: mechanism })]), signal)
      await sink.close()
      const [received] = await readTopic(kafka.brokers, topics.events)
      expect(received!.headers.uuid).toBe(mechanism)
    },
  )

  test.each<[string, Partial<KafkaSettings>, RegExp]>([
    [
      'a wrong password',
      { sasl: { mechanism: 'scram-sha-256', username: 'alice', password: 'wrong' } },
      /authentication/i,
    ],
    ['a certificate that nobody vouches for', { tls: { caFile: undefined } }, /certificate/i],
  ])('%s sends nothing, and the log says why without the secret', async (_, overrides, reason) => {
    const sasl = { mechanism: 'plain' as const, ...user }
    const { sink, log } = makeSink('refused', { sasl, ...overrides })
    await until(() => !sink.isHealthy())
    expect(log.lines[0]).toMatchObject({ level: 'warn', reason: expect.stringMatching(reason) })
    expect(JSON.stringify(log.lines)).not.toMatch(/alice-secret|wrong/)
    expect(sink.counters().shipped).toBe(0)
    await sink.close()
  })
})

test('a certificate file that is not there is told when the sink is made', () => {
  expect(() => makeSink('missing', { tls: { caFile: '/nowhere/ca.pem' } })).toThrow('ENOENT')
})
