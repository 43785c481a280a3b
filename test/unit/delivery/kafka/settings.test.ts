import { expect, test } from 'bun:test'
import { loadConfig } from '../../../../src/config/config.ts'
import { parseKafkaSettings, parseSasl, toTopics } from '../../../../src/delivery/kafka/settings.ts'

const parse = (environment: Record<string, string>) =>
  parseKafkaSettings(loadConfig({ KAFKA_BROKERS: 'a:9092,b:9092', ...environment }).config)

test('takes every Kafka setting of the environment', () => {
  const settings = parse({
    KAFKA_TOPIC_LINK_EVENTS: 'clicks',
    KAFKA_TLS: 'true',
    KAFKA_TLS_CA_FILE: 'ca.pem',
    KAFKA_SASL_MECHANISM: 'scram-sha-512',
    KAFKA_SASL_USERNAME: 'alice',
    KAFKA_SASL_PASSWORD: 'secret',
  })!
  expect(settings).toMatchObject({
    KAFKA_BROKERS: ['a:9092', 'b:9092'],
    KAFKA_TLS_CA_FILE: 'ca.pem',
  })
  expect(toTopics(settings)).toMatchObject({
    ...{ events: 'events', linkEvents: 'clicks', deadLetters: 'dead_letters' },
  })
  expect(parseSasl(settings)).toEqual({
    ...{ mechanism: 'scram-sha-512', username: 'alice', password: 'secret' },
  })
  expect(parseSasl(parse({}))).toBeUndefined()
})

test('are rejected without brokers', () => {
  expect(() => parse({ KAFKA_BROKERS: '' })).toThrow('KAFKA_BROKERS is empty')
})

test.each([
  ['a certificate without TLS', { KAFKA_TLS_CA_FILE: 'ca.pem' }, /KAFKA_TLS is not/],
  ['a mechanism without a user', { KAFKA_SASL_MECHANISM: 'plain' }, /needs KAFKA_SASL_USERNAME/],
  ['a broker without a port', { KAFKA_BROKERS: 'a:9092,b' }, /"b" is not host:port/],
  ['an impossible topic name', { KAFKA_TOPIC_EVENTS: 'my events' }, /"my events" cannot be/],
  ['a user without a mechanism', { KAFKA_SASL_USERNAME: 'alice' }, /KAFKA_SASL_MECHANISM is none/],
])('rejects %s', (_, environment, message) => {
  expect(() => parse(environment)).toThrow(message)
})
