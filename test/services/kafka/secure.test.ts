import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { silentLog } from '../../../src/core/log.ts'
import type { KafkaSettings } from '../../../src/delivery/kafka/settings.ts'
import { createKafkaSink } from '../../../src/delivery/kafka/sink.ts'
import { until } from '../../support/until.ts'
import {
  makeRecord,
  makeReport,
  makeSettings,
  toBatch,
} from '../../unit/delivery/kafka/fixtures.ts'
import { type KafkaService, startKafka } from '../kafka.ts'
import { readTopic, requireKcat } from '../kafka-reader.ts'

const startMsMax = 120_000
setDefaultTimeout(30_000)
const user = { username: 'alice', password: 'alice-secret' }
let kafka: KafkaService

beforeAll(async () => {
  await requireKcat()
  kafka = await startKafka({ user })
}, startMsMax)
afterAll(() => kafka.stop())

function makeSink(prefix: string, overrides: Partial<KafkaSettings>) {
  const tls = { caFile: kafka.secure.caFiles[0] }
  const settings = { ...makeSettings(kafka.secure.brokers, prefix), tls, ...overrides }
  const { report, retries } = makeReport()
  const sink = createKafkaSink({ settings, log: silentLog, report, now: Date.now })
  return { sink, retries, topics: settings.topics }
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
  ])('%s sends nothing, and says why without the secret', async (_, overrides, reason) => {
    const sasl = { mechanism: 'plain' as const, ...user }
    const { sink, retries } = makeSink('refused', { sasl, ...overrides })
    await until(() => !sink.isHealthy())
    expect(retries[0]!.message).toMatch(reason)
    expect(JSON.stringify(retries)).not.toMatch(/alice-secret|wrong/)
    await sink.close()
  })
})

test('a certificate file that is not there is told when the sink is made', () => {
  expect(() => makeSink('missing', { tls: { caFile: '/nowhere/ca.pem' } })).toThrow('ENOENT')
})
