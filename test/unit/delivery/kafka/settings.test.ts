import { expect, test } from 'bun:test'
import { loadConfig } from '../../../../src/config/config.ts'
import { toKafkaSettings } from '../../../../src/delivery/kafka/settings.ts'

const load = (environment: Record<string, string>) =>
  toKafkaSettings(loadConfig({ KAFKA_BROKERS: 'a:9092,b:9092', ...environment }).config)

test('takes every setting of the environment that is Kafka’s', () => {
  const settings = load({
    KAFKA_TOPIC_LINK_EVENTS: 'clicks',
    KAFKA_TLS: 'true',
    KAFKA_TLS_CA_FILE: 'ca.pem',
    KAFKA_SASL_MECHANISM: 'scram-sha-512',
    KAFKA_SASL_USERNAME: 'alice',
    KAFKA_SASL_PASSWORD: 'secret',
  })
  expect(settings).toMatchObject({
    brokers: ['a:9092', 'b:9092'],
    topics: { events: 'events', linkEvents: 'clicks', deadLetters: 'dead_letters' },
    tls: { caFile: 'ca.pem' },
    sasl: { mechanism: 'scram-sha-512', username: 'alice', password: 'secret' },
  })
  expect(load({})).toMatchObject({ tls: undefined, sasl: undefined })
})

test.each([
  ['a certificate without TLS', { KAFKA_TLS_CA_FILE: 'ca.pem' }, /KAFKA_TLS is not/],
  ['a mechanism without a user', { KAFKA_SASL_MECHANISM: 'plain' }, /needs KAFKA_SASL_USERNAME/],
  ['a broker without a port', { KAFKA_BROKERS: 'a:9092,b' }, /"b" is not host:port/],
  ['a topic that cannot be', { KAFKA_TOPIC_EVENTS: 'my events' }, /"my events" cannot be/],
  ['a user without a mechanism', { KAFKA_SASL_USERNAME: 'alice' }, /KAFKA_SASL_MECHANISM is none/],
])('refuses %s', (_, environment, message) => {
  expect(() => load(environment)).toThrow(message)
})
