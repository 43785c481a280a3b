import { afterAll, beforeAll, expect, test } from 'bun:test'
import { PostHog } from 'posthog-node'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

type Row = {
  event: string
  distinct_id: string
  properties: string
  historical: boolean
  library: string
}

const variants = [
  ['one at a time', { flushAt: 1, flushInterval: 0 }, 5],
  ['one at a time, uncompressed', { flushAt: 1, flushInterval: 0, disableCompression: true }, 5],
  ['in batches', { flushAt: 20, flushInterval: 0 }, 250],
  ['in batches, uncompressed', { flushAt: 100, flushInterval: 0, disableCompression: true }, 250],
  ['as a historical migration', { flushAt: 20, flushInterval: 0, historicalMigration: true }, 50],
] as const

test.each(variants)(
  'posthog-node %s: every event is stored once',
  async (name, options, count) => {
    const token = `phc_${name.replaceAll(/[^a-z]/g, '')}`
    const client = new PostHog(token, { host: server.url, ...options })
    const errors: unknown[] = []
    client.on('error', (error: unknown) => errors.push(error))
    for (let index = 0; index < count; index += 1) {
      client.capture({
        distinctId: `user-${index}`,
        event: 'ordered',
        properties: { index, amount: 9.99, $set: { plan: 'scale' } },
      })
    }
    await client.shutdown()
    const rowsOf = () => server.query<Row>(`SELECT * FROM events WHERE project = '${token}'`)
    await until(async () => (await rowsOf()).length >= count, { what: 'all rows' })
    const rows = await rowsOf()

    expect(errors).toEqual([])
    expect(rows.map((row) => JSON.parse(row.properties).index).sort((a, b) => a - b)).toEqual(
      Array.from({ length: count }, (_, index) => index),
    )
    expect(new Set(rows.map((row) => row.library))).toEqual(new Set(['posthog-node']))
    expect(rows.every((row) => row.historical === 'historicalMigration' in options)).toBe(true)
  },
  30_000,
)
