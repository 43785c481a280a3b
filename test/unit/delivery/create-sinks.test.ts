import { expect, test } from 'bun:test'
import { loadConfig } from '../../../src/config/config.ts'
import { parseEnabledSinks } from '../../../src/delivery/create-sinks.ts'

const parse = (environment: Record<string, string>) =>
  parseEnabledSinks(loadConfig({ CLICKHOUSE_URL: 'http://x', ...environment }).config)

test('enables Kafka when brokers are set, and ClickHouse always', () => {
  expect(parse({})).toEqual(['clickhouse'])
  expect(parse({ KAFKA_BROKERS: 'a:9092' })).toEqual(['clickhouse', 'kafka'])
})

test.each([
  ['kafka', ['kafka']],
  [' kafka , clickhouse', ['clickhouse', 'kafka']],
  ['clickhouse,clickhouse', ['clickhouse']],
])('SINKS=%s chooses the sinks', (SINKS, names) => {
  expect(parse({ SINKS, KAFKA_BROKERS: 'a:9092' })).toEqual(names as never)
})

test.each([
  ['an unknown name', { SINKS: 'kafka,s3', KAFKA_BROKERS: 'a:9092' }, 'SINKS "s3" is not a sink'],
  ['no name', { SINKS: ',' }, 'SINKS names no sink; the sinks are clickhouse, kafka, archive'],
  ['kafka without brokers', { SINKS: 'kafka' }, 'KAFKA_BROKERS is empty'],
])('SINKS with %s is rejected', (_, environment, message) => {
  expect(() => parse(environment)).toThrow(message)
})

test('SINKS_ABANDON with an unknown name is rejected, also while it is not needed', () => {
  expect(() => parse({ SINKS_ABANDON: 'kafkaa' })).toThrow('SINKS_ABANDON "kafkaa" is not a sink')
})

test('needs no embedded ClickHouse when SINKS leaves it out', () => {
  const settings = { SINKS: 'kafka', KAFKA_BROKERS: 'a:9092', CLICKHOUSE_CLUSTER: 'c' }
  expect(parseEnabledSinks(loadConfig(settings).config)).toEqual(['kafka'])
})

test('throws when the settings of a sink contradict each other', () => {
  expect(() => parse({ KAFKA_BROKERS: 'a' })).toThrow('"a" is not host:port')
  expect(() => parse({ CLICKHOUSE_URL: 'ftp://x' })).toThrow('CLICKHOUSE_URL')
})
