import { expect, test } from 'bun:test'
import { toIntroduction } from '../../../src/app/introduction.ts'
import { loadConfig } from '../../../src/config/config.ts'

function introduce(environment: Record<string, string>, queryPort?: number): string {
  const { config } = loadConfig({ HOST: '0.0.0.0', ...environment })
  return toIntroduction({ config, port: 3000, entries: [{ tokens: ['phc_shop'] }], queryPort })
}

/** The text after a label. */
function rowOf(text: string, label: string): string | undefined {
  return new RegExp(`^  ${label} +(.*)$`, 'm').exec(text)?.[1]
}

test('shows addresses, a curl with a valid token, and a query', () => {
  const text = introduce({}, 8123)
  expect(text).toMatch(/^\nSpillway \d+\.\d+\.\d+ is ready\n/)
  expect(rowOf(text, 'Server')).toBe(
    'http://127.0.0.1:3000 and the other addresses of this machine',
  )
  expect(rowOf(text, 'Console')).toBe('http://127.0.0.1:3000/console')
  expect(rowOf(text, 'Send an event')).toBe(
    `curl -s http://127.0.0.1:3000/e/ -H 'Content-Type: application/json' -d '{"api_key":"phc_shop","event":"hello","distinct_id":"user-1"}'`,
  )
  expect(rowOf(text, 'Query')).toStartWith("curl -s http://127.0.0.1:8123/ --data 'SELECT ")
  expect(rowOf(text, 'Documentation')).toBe('README.md, docs/')
})

test.each([
  ['127.0.0.2', 'http://127.0.0.2:3000'],
  ['::1', 'http://[::1]:3000'],
  ['::', 'http://[::1]:3000 and the other addresses of this machine'],
])('shows where HOST=%s can be reached', (HOST, expected) => {
  expect(rowOf(introduce({ HOST }), 'Server')).toBe(expected)
})

test('shows https with TLS', () => {
  const text = introduce({ TLS_CERT_FILE: 'cert.pem', TLS_KEY_FILE: 'key.pem' })
  expect(rowOf(text, 'Console')).toBe('https://127.0.0.1:3000/console')
  expect(rowOf(text, 'Send an event')).toStartWith('curl -sk https://127.0.0.1:3000/e/')
})

test.each([
  [{ ADMIN_PORT: '9000' }, 'http://127.0.0.1:9000/console'],
  [
    { NODE_ENV: 'production', ADMIN_TOKEN: 'x'.repeat(16) },
    'http://127.0.0.1:3000/console (asks for ADMIN_TOKEN)',
  ],
  [
    { NODE_ENV: 'production' },
    'http://127.0.0.1:3000/console (asks for a token that has the permission `console`)',
  ],
])('shows where the console is open with %p', (environment, expected) => {
  expect(rowOf(introduce(environment as Record<string, string>), 'Console')).toBe(expected)
})

test.each([
  [{ SINKS: 'kafka', KAFKA_BROKERS: 'k:9092' }, 'off: SINKS names no ClickHouse'],
  [{ EMBEDDED_CLICKHOUSE_PORT: '0' }, 'off: EMBEDDED_CLICKHOUSE_PORT is 0'],
  [{}, 'off: a warning above says why'],
])('says why there is no query address with %p', (environment, expected) => {
  expect(rowOf(introduce(environment as Record<string, string>), 'Query')).toBe(expected)
})

test('names a remote ClickHouse without its password', () => {
  const text = introduce({ CLICKHOUSE_URL: 'http://u:secret@ch:8123/shop' })
  expect(rowOf(text, 'Query')).toBe('the ClickHouse at http://ch:8123/shop')
})

test('shows the port of Socket.IO with several processes', () => {
  const remote = { CLICKHOUSE_URL: 'http://ch:8123/', REDIS_URL: 'redis://r', WORKERS: '2' }
  expect(rowOf(introduce(remote), 'Socket.IO')).toBe('http://127.0.0.1:3001')
})
