import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { findSettings, toExecutable } from '../../src/embedded/query-api/statement.ts'
import { toTokens } from '../../src/embedded/query-api/tokens.ts'
import { type QueryServers, query, startQueryServers } from '../services/query-api/query-servers.ts'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { startSpillway } from '../support/spillway.ts'

setDefaultTimeout(120_000)

let servers: QueryServers
beforeAll(async () => {
  servers = await startQueryServers({ concurrencyMax: 1 })
})
afterAll(() => servers.stop())

/** Hostile statements of about `length` characters. */
const shapes: [string, (length: number) => string][] = [
  [
    'a list',
    (length) =>
      `SELECT 1 IN (${Array(length >> 1)
        .fill('1')
        .join()})`,
  ],
  [
    'columns',
    (length) =>
      `SELECT ${Array(length >> 1)
        .fill('1')
        .join()}`,
  ],
  ['unclosed heredocs', (length) => `SELECT ${toSequence(length / 7, (at) => `$${at}$ `)}`],
  [
    'nested INs',
    (length) => `SELECT ${repeat(`${'1 IN ('.repeat(90)}1${')'.repeat(90)},`, length)} 1`,
  ],
  ['settings', (length) => `SELECT 1 SETTINGS ${repeat('final = 1, ', length)}final = 1`],
  [
    'system.processes',
    (length) => `SELECT 1 FROM ${repeat('system.processes, ', length)}system.one`,
  ],
  ['formats', (length) => `SELECT 1${repeat(' FORMAT JSON', length)}`],
  ['a string that ends in a backslash', (length) => `SELECT '${'a'.repeat(length)}\\`],
]

const repeat = (text: string, length: number) => text.repeat(Math.ceil(length / text.length))
const toSequence = (count: number, toText: (at: number) => string) =>
  Array.from({ length: Math.floor(count) }, (_, at) => toText(at)).join('')

/** CPU time of this thread, least of three: a busy machine only adds to it. */
function measureMs(work: () => void): number {
  const runs = [1, 2, 3].map(() => {
    const before = process.cpuUsage()
    work()
    return process.cpuUsage(before).user / 1000
  })
  return Math.min(...runs)
}

describe('the time of our own parsing grows with the length only', () => {
  test.each(shapes)('%s', (_, toSql) => {
    const measure = (length: number) => {
      const sql = toSql(length)
      return measureMs(() => {
        const tokens = [...toTokens(sql)]
        findSettings(tokens)
        toExecutable(sql, tokens)
      })
    }
    measure(64 * 1024)
    const [short, long] = [measure(64 * 1024), measure(256 * 1024)]
    expect(long).toBeLessThan(8 * short + 100)
  })
})

test.each(shapes)('answers, and the next query soon after: %s', async (_, toSql) => {
  const startMs = performance.now()
  const hostile = query(servers.readOnly, toSql(255 * 1024))
  await hostile
  expect((await query(servers.readOnly, 'SELECT 1')).text).toBe('1\n')
  expect(performance.now() - startMs).toBeLessThan(35_000)
})

test('hostile statements beside small events delay none of them', async () => {
  await using server = await startSpillway()
  const beside = await sendBeside(server)
  for (const [, toSql] of shapes) await query(server.queryUrl, toSql(255 * 1024))
  await expectUndisturbed(beside)
})
