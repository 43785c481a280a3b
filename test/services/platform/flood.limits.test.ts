import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { post } from '../contracts/support.ts'
import { askToken } from './support.ts'

/** The secrets in this file are hashed at full cost: 64 MiB and tens of milliseconds each. */
const projectsFile = join(import.meta.dir, '../../fixtures/projects.toml')
const backend = { client_id: 'backend', client_secret: 'backend-secret' }
const login = { ...backend, grant_type: 'password', username: 'ada', password: 'ada-password' }

test('capture stays fast during a flood of logins', async () => {
  await using server = await startSpillway({
    PROJECTS_FILE: projectsFile,
    RATE_AUTH_PER_MINUTE: '0',
    TRUSTED_PROXIES: '127.0.0.1',
  })
  let addresses = 0
  // An address that fails has to wait, so the flood comes from many.
  const fromAnother = () => {
    addresses += 1
    return { headers: { 'x-forwarded-for': `10.0.${addresses >> 8}.${addresses & 255}` } }
  }
  let isFlooding = true
  const statuses = new Map<number, number>()
  const attackers = Array.from({ length: 50 }, async (_, attacker) => {
    for (let guess = 0; isFlooding; guess += 1) {
      const password = `guess-${attacker}-${guess}`
      const { status } = await askToken(server.url, { ...login, password }, fromAnother())
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  })
  await until(() => statuses.size > 0, { timeoutMs: 20_000, what: 'a first rejection' })
  const latencies: number[] = []
  for (let index = 0; index < 200; index += 1) {
    const startedMs = performance.now()
    const event = { event: 'kept', distinct_id: 'u', properties: { token: 'phc_shop_web', index } }
    expect((await post(`${server.url}/e/`, event)).status).toBe(200)
    latencies.push(performance.now() - startedMs)
  }
  isFlooding = false
  await Promise.all(attackers)

  // 400: wrong password (RFC 6749, invalid_grant). 503: the queue is full.
  expect([...statuses.keys()].filter((status) => ![400, 503].includes(status))).toEqual([])
  const median = latencies.sort((a, b) => a - b)[100]!
  expect(median).toBeLessThan(200)
  // However often the account failed, its owner is not locked out.
  expect((await askToken(server.url, login, fromAnother())).status).toBe(200)
  const sql = `SELECT 1 FROM events WHERE event = 'kept'`
  await until(async () => (await server.query(sql)).length >= 200, { timeoutMs: 20_000 })
  expect(await server.query(sql)).toHaveLength(200)
}, 90_000)
