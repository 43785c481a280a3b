import { expect, test } from 'bun:test'
import { loadConfig, settingsSchema } from '../../../src/config/config.ts'
import { toSettings } from '../../../src/console/settings.ts'

const environment = {
  ADMIN_TOKEN: 'a-secret-of-operators',
  CLICKHOUSE_URL: 'http://writer:hunter2@127.0.0.1:8123/default',
  KAFKA_BROKERS: 'a:9092,b:9092',
  PORT: '3100',
}
const settings = toSettings(loadConfig(environment).config)
const find = (name: string) => settings.find((one) => one.name === name)

test('lists every setting with its meaning', () => {
  expect(settings.map(({ name }) => name)).toEqual(Object.keys(settingsSchema.properties))
  for (const { description } of settings) expect(description).not.toBe('')
})

test('says which values differ from the default', () => {
  expect(find('PORT')).toMatchObject({ value: 3100, default: 3000, is_default: false })
  expect(find('HOST')).toMatchObject({ value: '0.0.0.0', is_default: true })
  expect(find('CORS_ORIGINS')).toMatchObject({ value: [], is_default: true })
  expect(find('KAFKA_BROKERS')).toMatchObject({ value: ['a:9092', 'b:9092'], is_default: false })
})

test('says of a secret only whether it is set', () => {
  expect(find('ADMIN_TOKEN')).toMatchObject({ value: '(set)', secret: true, is_default: false })
  expect(find('REDIS_URL')).toMatchObject({ value: null, secret: true, is_default: true })
  expect(JSON.stringify(settings)).not.toMatch(/hunter2|a-secret-of-operators/)
})
