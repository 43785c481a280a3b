import { describe, expect, test } from 'bun:test'
import { type Config, loadConfig } from '../../../src/config/config.ts'
import { SettingsError } from '../../../src/config/environment.ts'

const faultsOf = (environment: Record<string, string>): string => {
  try {
    loadConfig(environment)
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

  test('reports all faults at once', () => {
    expect(faultsOf({ PORT: 'x', WORKERS: '0', LOG_LEVEL: 'loud' }).split('\n')).toHaveLength(3)
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
