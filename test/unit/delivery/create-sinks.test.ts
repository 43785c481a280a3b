import { expect, test } from 'bun:test'
import { loadConfig } from '../../../src/config/config.ts'
import { parseEnabledSinks } from '../../../src/delivery/create-sinks.ts'

const parse = (environment: Record<string, string>) =>
  parseEnabledSinks(loadConfig({ CLICKHOUSE_URL: 'http://x', ...environment }).config)

test('enables Kafka when brokers are set, and ClickHouse always', () => {
  expect(parse({})).toEqual(['clickhouse'])
  expect(parse({ KAFKA_BROKERS: 'a:9092' })).toEqual(['clickhouse', 'kafka'])
})

test('throws when the settings of a sink contradict each other', () => {
  expect(() => parse({ KAFKA_BROKERS: 'a' })).toThrow('"a" is not host:port')
  expect(() => parse({ CLICKHOUSE_URL: 'ftp://x' })).toThrow('CLICKHOUSE_URL')
})
