import { describe, expect, test } from 'bun:test'
import { type Config, loadConfig } from '../../../src/config/config.ts'
import { SettingsError } from '../../../src/config/environment.ts'
import { findOriginFaults } from '../../../src/core/cors.ts'

const faultsOf = (environment: Record<string, string>): string => {
  try {
    loadConfig(environment, findOriginFaults)
    return ''
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError)
    return (error as Error).message
  }
}

describe('settings', () => {
  test('have defaults, so that an empty environment is valid', () => {
    const { config, warnings } = loadConfig({})
    expect(config.PORT).toBe(3000)
    expect(config.DURABILITY).toBe('disk')
    expect(config.KAFKA_BROKERS).toEqual([])
    expect(config.CLICKHOUSE_URL).toBeUndefined()
    expect(warnings).toEqual([])
  })

  test.each<[string, Record<string, string>, keyof Config, unknown]>([
    ['an empty variable is unset', { PORT: '' }, 'PORT', 3000],
    ['sizes take binary units', { JOURNAL_MAX_BYTES: '2GiB' }, 'JOURNAL_MAX_BYTES', 2 ** 31],
    ['sizes take bytes', { JOURNAL_MAX_BYTES: '20000000' }, 'JOURNAL_MAX_BYTES', 20_000_000],
    ['lists split on commas', { KAFKA_BROKERS: 'a:1, b:2,' }, 'KAFKA_BROKERS', ['a:1', 'b:2']],
    ['flags take 0', { ACCESS_LOG: '0' }, 'ACCESS_LOG', false],
    ['choices are taken as they are', { DURABILITY: 'memory' }, 'DURABILITY', 'memory'],
  ])('%s', (_, environment, name, expected) => {
    const { config } = loadConfig(environment)
    expect<unknown>(config[name]).toEqual(expected)
  })

  test.each([
    ['a number out of bounds', { PORT: '65536' }, 'PORT "65536" is not an integer in 0..65535'],
    ['text for a number', { PORT: 'abc' }, 'PORT "abc" is not an integer in 0..65535'],
    ['a fraction', { WORKERS: '1.5' }, 'WORKERS "1.5" is not an integer in 1..256'],
    ['an unknown choice', { DURABILITY: 'ram' }, 'DURABILITY "ram" is not one of disk, memory'],
    ['text for a flag', { ACCESS_LOG: 'yes' }, 'ACCESS_LOG "yes" is not true or false'],
  ])('reports %s with name, value and bound', (_, environment, expected) => {
    expect(faultsOf(environment)).toBe(expected)
  })

  test.each([
    ['CLICKHOUSE_URL', 'localhost:8123', 'CLICKHOUSE_URL (hidden) is not a URL such as'],
    ['CLICKHOUSE_URL', 'tcp://localhost:9000', 'CLICKHOUSE_URL (hidden) is not'],
    ['REDIS_URL', 'localhost:6379', 'REDIS_URL (hidden) is not a URL such as redis://host:6379'],
    ['REDIS_URL', 'redis://a:1,http://b:2', 'REDIS_URL (hidden) is not'],
    ['PUBLIC_URL', 'events.example.com', 'PUBLIC_URL "events.example.com" is not a URL such as'],
    ['PUBLIC_URL', 'https://u:p@events.example.com', 'PUBLIC_URL '],
    ['POSTHOG_JS_DIR', '/none', 'POSTHOG_JS_DIR "/none" is not the dist folder of posthog-js'],
    [
      'EVENTS_COLUMNS',
      'a b',
      'EVENTS_COLUMNS "a b" is not the name of a property of at most 64 letters',
    ],
    ['ARCHIVE', 'gs://bucket/x', 'ARCHIVE "gs://bucket/x" is not s3://bucket/prefix or'],
    ['ARCHIVE', 's3://', 'ARCHIVE "s3://" is not s3://bucket/prefix or the path of a folder'],
    ['ARCHIVE', 's3:/bucket', 'ARCHIVE "s3:/bucket" is not'],
    ['ARCHIVE', 's3://key:secret@bucket', 'is not s3://bucket/prefix or'],
    ['KAFKA_BROKERS', 'a:1,b', 'KAFKA_BROKERS "b" is not host:port'],
    ['KAFKA_BROKERS', 'kafka://a:1', 'KAFKA_BROKERS "kafka://a:1" is not host:port'],
    ['TRUSTED_PROXIES', '10.0.0.0/8,balancer', 'TRUSTED_PROXIES "balancer" is not an IP address'],
    ['TRUSTED_PROXIES', '10.0.0.0/33', 'TRUSTED_PROXIES "10.0.0.0/33" is not an IP address'],
    ['HOST', '300.1.1.1', 'HOST "300.1.1.1" is not an IP address or a host name'],
    ['HOST', '127.0.0.1:3000', 'HOST "127.0.0.1:3000" is not'],
    ['ADMIN_TOKEN', 'short', 'ADMIN_TOKEN (hidden) is not at least 16 characters'],
    ['CORS_ORIGINS', 'https://a.example,b.example', 'CORS_ORIGINS "b.example" is not'],
  ])('refuses %s=%s', (name, value, fault) => {
    const faults = faultsOf({ [name]: value }).split('\n')
    expect(faults).toEqual([expect.stringContaining(fault)])
  })

  test.each([
    ['CLICKHOUSE_URL', 'https://u:p@clickhouse.internal:8443/spillway'],
    ['REDIS_URL', 'redis://:p@a:1, rediss://b:2/3'],
    ['PUBLIC_URL', 'https://events.example.com/sdk'],
    ['ARCHIVE', 's3://my.bucket-1/events/v=1/'],
    ['ARCHIVE', './archive'],
    ['KAFKA_BROKERS', 'kafka-0.svc:9092,10.0.0.1:9092,[2001:db8::1]:9092'],
    ['TRUSTED_PROXIES', '10.0.0.0/8, 2001:db8::/32, 127.0.0.1'],
    ['HOST', '::'],
    ['HOST', 'localhost'],
  ])('takes %s=%s', (name, value) => expect(faultsOf({ [name]: value })).toBe(''))

  test.each([
    ['JOURNAL_MAX_BYTES', '10GB', '10GiB'],
    ['JOURNAL_MAX_BYTES', '10G', '10GiB'],
    ['INTAKE_BYTES_MAX', '512 mb', '512MiB'],
    ['RING_BYTES_MAX', '64m', '64MiB'],
  ])('hints at the unit for %s=%s', (name, value, meant) => {
    expect(faultsOf({ [name]: value })).toEndWith(`; did you mean ${meant}?`)
  })

  test.each([
    ['kafka', false],
    ['clickhouse,kafka', true],
    ['', true],
  ])('WORKERS=2 with SINKS=%s needs CLICKHOUSE_URL: %p', (SINKS, isNeeded) => {
    const faults = faultsOf({ WORKERS: '2', REDIS_URL: 'redis://x', SINKS })
    expect(faults.includes('WORKERS=2 needs CLICKHOUSE_URL')).toBe(isNeeded)
  })

  test.each<[Record<string, string>, string]>([
    [{ ADMIN_PORT: '3000' }, 'ADMIN_PORT "3000" is the port of PORT; set another one'],
    [{ PORT: '9000', ADMIN_PORT: '9001' }, ''],
    [{ PORT: '0', ADMIN_PORT: '0' }, ''],
    [{ PORT: '9000', REALTIME_PORT: '9000' }, ''],
    [
      { ...{ REALTIME_PORT: '3000', WORKERS: '2', SINKS: 'kafka' }, REDIS_URL: 'redis://x' },
      'REALTIME_PORT "3000" is the port of PORT; set another one',
    ],
  ])('two servers on one port are a fault: %j', (environment, fault) => {
    expect(faultsOf(environment)).toBe(fault)
  })

  test('reports all faults at once', () => {
    const faults = faultsOf({
      ...{ PORT: 'x', WORKERS: '2', LOG_LEVEL: 'loud', PUBLIC_URL: 'x', TLS_CERT_FILE: 'c' },
      ...{ REDIS_URL: 'x', TRUSTED_PROXIES: 'x', CORS_ORIGINS: 'x', NODE_ENV: 'prod' },
    })
    const names = ['PORT', 'LOG_LEVEL', 'NODE_ENV', 'PUBLIC_URL', 'REDIS_URL', 'TRUSTED_PROXIES']
    for (const name of [
      ...names,
      'CORS_ORIGINS',
      'TLS_CERT_FILE',
      'WORKERS=2 needs CLICKHOUSE_URL',
    ])
      expect(faults).toContain(name)
    expect(faults.split('\n')).toHaveLength(9)
  })

  test.each([
    ['a missing letter', 'KAFKA_BROKER', 'KAFKA_BROKERS'],
    ['two wrong letters', 'CLICKHOUS_URI', 'CLICKHOUSE_URL'],
  ])('suggests a setting for a variable with %s', (_, name, meant) => {
    expect(loadConfig({ [name]: 'x' }).warnings).toEqual([
      `${name} is not a setting; did you mean ${meant}?`,
    ])
  })

  test('ignores variables that resemble no setting', () => {
    expect(loadConfig({ HOSTNAME: 'x', PATH: '/bin', SHELL: 'sh', LANG: 'C' }).warnings).toEqual([])
  })
})
