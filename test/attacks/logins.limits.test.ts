import { afterAll, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { askToken } from '../services/platform/support.ts'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { temporaryFolder } from '../support/folder.ts'
import { startSpillway } from '../support/spillway.ts'

const folder = temporaryFolder()
const projectsFile = join(folder.path, 'projects.toml')
/** The secrets in this file are hashed at full cost: 64 MiB and tens of milliseconds each. */
const fixture = readFileSync(join(import.meta.dir, '../fixtures/projects.toml'), 'utf8')
writeFileSync(
  projectsFile,
  `${fixture}\n[[projects]]\nid = "phc_beside"\ntokens = ["phc_beside"]\n`,
)
afterAll(() => folder[Symbol.dispose]())

const backend = { client_id: 'backend', client_secret: 'backend-secret' }
const ada = { ...backend, grant_type: 'password', username: 'ada', password: 'ada-password' }
const attackMs = 6000

const start = (settings: Record<string, string> = {}) =>
  startSpillway({
    ...{ PROJECTS_FILE: projectsFile, TRUSTED_PROXIES: '127.0.0.1' },
    ADMIN_TOKEN: 'token-of-operators',
    ...settings,
  })

/** `parallel` guessers until `attackMs` have passed. Returns how often each status came. */
async function attack(parallel: number, guess: () => Promise<number>) {
  const endMs = performance.now() + attackMs
  const statuses: Record<number, number> = {}
  async function run(): Promise<void> {
    while (performance.now() < endMs) {
      const status = await guess()
      statuses[status] = (statuses[status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: parallel }, run))
  return statuses
}

const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })

test('addresses of one /64 share one rate', async () => {
  await using server = await start()
  const beside = await sendBeside(server)
  const statuses: number[] = []
  for (let at = 0; at < 200; at += 1) {
    const request = from(`2001:db8:0:1::${at.toString(16)}`)
    statuses.push((await fetch(`${server.url}/api/auth/verify`, request)).status)
  }
  const refused = statuses.filter((status) => status === 429)
  // The rate of one address: 60 at once, and one a second.
  expect(refused.length).toBeGreaterThan(100)
  expect((await askToken(server.url, ada, from('2001:db8:0:2::1'))).status).toBe(200)
  await expectUndisturbed(beside)
}, 60_000)

test('a sender that guesses one password after the other has few guesses, and its victim can log in', async () => {
  await using server = await start({ RATE_AUTH_PER_MINUTE: '0' })
  let count = 0
  const guessing = attack(8, async () => {
    count += 1
    const fields = { ...ada, password: `guess ${count}` }
    return (await askToken(server.url, fields, from('203.0.113.7'))).status
  })
  const logins: number[] = []
  for (let login = 0; login < 5; login += 1)
    logins.push((await askToken(server.url, ada, from('198.51.100.1'))).status)
  expect(logins).toEqual([200, 200, 200, 200, 200])
  const statuses = await guessing
  // 5 are free; then 1, 2 and 4 s.
  expect(statuses[400]).toBeLessThanOrEqual(9)
}, 60_000)

test('a flood of different logins from one sender delays no other login', async () => {
  await using server = await start({ RATE_AUTH_PER_MINUTE: '0' })
  const beside = await sendBeside(server)
  let count = 0
  const statuses: number[] = []
  /** Resolves with the time of a login. A password that matched before would not be verified. */
  async function mistake(address: string): Promise<number> {
    const startedMs = performance.now()
    const fields = { ...ada, password: `mistake from ${address}` }
    statuses.push((await askToken(server.url, fields, from(address))).status)
    return performance.now() - startedMs
  }
  // The first one also starts the password thread and verifies the client.
  await mistake('198.51.100.100')
  const aloneMs = await mistake('198.51.100.101')
  const flood = attack(60, async () => {
    count += 1
    // Each is another client, so that none of them has to wait.
    const fields = { ...ada, client_id: `client ${count}`, client_secret: `guess ${count}` }
    const { status } = await askToken(server.url, fields, from('203.0.113.7'))
    // Without a pause the 503s alone would occupy the CPU, and not the queue.
    await Bun.sleep(200)
    return status
  })
  let slowestMs = 0
  for (let login = 0; login < 5; login += 1)
    slowestMs = Math.max(slowestMs, await mistake(`198.51.100.${login}`))
  expect(statuses).toEqual(new Array(7).fill(400))
  // The flood has 32 logins in the queue; without turns each honest one would wait for all of them.
  expect(slowestMs).toBeLessThan(8 * aloneMs)
  expect((await flood)[503]).toBeGreaterThan(0)
  await expectUndisturbed(beside)
}, 60_000)
