import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { silentLog } from '../../../src/core/log.ts'
import { type KafkaSettings, toTopics } from '../../../src/delivery/kafka/settings.ts'
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
setDefaultTimeout(60_000)
const user = { username: 'alice', password: 'alice-secret' }
let kafka: KafkaService

beforeAll(async () => {
  await requireKcat()
  kafka = await startKafka({ user })
}, startMsMax)
afterAll(() => kafka.stop())

function makeSink(prefix: string, overrides: Partial<KafkaSettings>) {
  const settings: KafkaSettings = {
    ...makeSettings(kafka.secure.brokers, prefix),
    ...{ KAFKA_TLS: true, KAFKA_TLS_CA_FILE: kafka.secure.caFiles[0]!, ...overrides },
  }
  const { report, retries } = makeReport()
  const sink = createKafkaSink({ settings, log: silentLog, report, now: Date.now })
  return { sink, retries, topics: toTopics(settings) }
}

const toLogin = (
  mechanism: KafkaSettings['KAFKA_SASL_MECHANISM'],
  password = user.password,
): Partial<KafkaSettings> => ({
  KAFKA_SASL_MECHANISM: mechanism,
  KAFKA_SASL_USERNAME: user.username,
  KAFKA_SASL_PASSWORD: password,
})

const { signal } = new AbortController()

describe('over TLS', () => {
  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)(
    'records arrive with a login by %s',
    async (mechanism) => {
      const { sink, topics } = makeSink(mechanism, toLogin(mechanism))
      await sink.ship(toBatch([makeRecord({ uuid: mechanism })]), signal)
      await sink.close()
      const [received] = await readTopic(kafka.brokers, topics.events)
      expect(received!.headers.uuid).toBe(mechanism)
    },
  )

  test.each<[string, Partial<KafkaSettings>, RegExp]>([
    ['a wrong password', toLogin('scram-sha-256', 'wrong'), /authentication/i],
    ['a certificate of an unknown authority', { KAFKA_TLS_CA_FILE: '' }, /certificate/i],
  ])('%s sends nothing and reports the reason without the secret', async (_, overrides, reason) => {
    const { sink, retries } = makeSink('refused', { ...toLogin('plain'), ...overrides })
    await until(() => !sink.isHealthy())
    expect(retries[0]!.message).toMatch(reason)
    expect(JSON.stringify(retries)).not.toMatch(/alice-secret|wrong/)
    await sink.close()
  })
})

test('rejects a missing certificate file when the sink is created', () => {
  expect(() => makeSink('missing', { KAFKA_TLS_CA_FILE: '/nowhere/ca.pem' })).toThrow('ENOENT')
})
