import { afterAll, beforeAll, expect, test } from 'bun:test'
import { until } from '../../support/until.ts'
import { type QueryServers, query, startQueryServers } from './query-servers.ts'

let servers: QueryServers
const mib = 1024 * 1024
const endless = 'SELECT sum(cityHash64(number)) FROM system.numbers'

beforeAll(async () => {
  const limits = {
    memoryBytesMax: 300 * mib,
    executionMsMax: 2_000,
    queueMax: 2,
    concurrencyMax: 1,
  }
  servers = await startQueryServers(limits)
})
afterAll(() => servers.stop())

const read = (sql: string, init?: Parameters<typeof query>[2]) => query(servers.readOnly, sql, init)
const running = async () =>
  Number((await query(servers.writable, 'SELECT count() - 1 FROM system.processes')).text)

test.each([
  ['an aggregate', 'SELECT groupArray(number) FROM system.numbers'],
  ['groups', 'SELECT number, count() FROM system.numbers GROUP BY number'],
  ['a sort', 'SELECT number FROM system.numbers ORDER BY cityHash64(number)'],
  ['long rows', "SELECT repeat('x', 1000000) FROM system.numbers LIMIT 10000"],
  ['a window', 'SELECT sum(number) OVER () FROM system.numbers'],
])('ends %s that takes too much memory', async (_, sql) => {
  const idleBytes = servers.residentBytes()
  let peakBytes = 0
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, servers.residentBytes())
  }, 5)
  const { code } = await read(sql)
  clearInterval(watch)
  expect(code).toBe('241')
  expect(peakBytes - idleBytes).toBeLessThan(450 * mib)
})

test.each([
  ['a scan', endless],
  ['a subquery', `SELECT (${endless})`],
  ['a sleeping query', 'SELECT sleepEachRow(1) FROM (SELECT number FROM system.numbers LIMIT 3)'],
  ['EXPLAIN of a subquery', `EXPLAIN SELECT (${endless})`],
])('ends %s that takes too long', async (_, sql) => {
  const startMs = performance.now()
  const { status, code } = await read(sql)
  expect([status, code]).toEqual([408, '159'])
  expect(performance.now() - startMs).toBeWithin(1_900, 4_000)
})

test('streams ten million rows with flat memory', async () => {
  const idleBytes = servers.residentBytes()
  let peakBytes = 0
  let bytes = 0
  const reply = await fetch(
    `${servers.readOnly}?query=SELECT+number+FROM+system.numbers+LIMIT+10000000`,
    {
      headers: { 'accept-encoding': 'identity' },
    },
  )
  for await (const piece of reply.body!) {
    bytes += piece.length
    if (bytes % 1000 < 10) peakBytes = Math.max(peakBytes, servers.residentBytes())
  }
  expect(bytes).toBe(78_888_890)
  expect(peakBytes - idleBytes).toBeLessThan(150 * mib)
})

test('stops producing a reply that is not read, and cancels it in time', async () => {
  const idleBytes = servers.residentBytes()
  const reply = await fetch(`${servers.readOnly}?query=SELECT+*+FROM+system.numbers`)
  const reader = reply.body!.getReader()
  await reader.read()
  await until(async () => (await running()) === 0, { what: 'the end of the query' })
  expect(servers.residentBytes() - idleBytes).toBeLessThan(150 * mib)
  let end = ''
  for (let piece = await reader.read(); !piece.done; piece = await reader.read())
    end = (end + Buffer.from(piece.value).toString('latin1')).slice(-400)
  expect(end).toContain('Code: 159. DB::Exception: Timeout exceeded')
})

test.each([
  ['before its reply', endless],
  ['while it streams', 'SELECT * FROM system.numbers'],
])('cancels a query whose client disconnects %s', async (_, sql) => {
  const leaving = new AbortController()
  const url = `${servers.readOnly}?query=${encodeURIComponent(sql)}`
  const reply = fetch(url, { signal: leaving.signal }).catch(() => undefined)
  await until(async () => (await running()) === 1, { what: 'the start of the query' })
  const startMs = performance.now()
  leaving.abort()
  await reply
  await until(async () => (await running()) === 0, { what: 'the end of the query' })
  expect(performance.now() - startMs).toBeLessThan(1_000)
})

test('queues up to the maximum, and refuses the others with Retry-After', async () => {
  const answers = await Promise.all(Array.from({ length: 5 }, () => read('SELECT sleep(0.3)')))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 503, 503])
  const refused = answers.find(({ status }) => status === 503)!
  expect(refused.code).toBe('202')
  expect(refused.headers.get('retry-after')).toBe('1')
})

test('drops a queued query whose client disconnects', async () => {
  const first = read('SELECT sleep(0.5)')
  const leaving = new AbortController()
  const waiting = read(endless, { signal: leaving.signal }).catch((error: Error) => error.name)
  await until(async () => (await running()) === 1)
  leaving.abort()
  expect(await waiting).toBe('AbortError')
  await first
  expect((await read('SELECT 1')).text).toBe('1\n')
})

test('slow queries delay no write to the disk', async () => {
  const sleepers = [
    ...Array.from({ length: 4 }, () => query(servers.writable, 'SELECT sleep(1)')),
    read('SELECT sleep(1)'),
  ]
  await until(async () => (await running()) === 5, { what: 'the start of the queries' })
  const longestMs = Number(await servers.ask('sync'))
  expect(await running()).toBe(5)
  expect(longestMs).toBeLessThan(500)
  await Promise.all(sleepers)
})
