import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { wholeLines } from '../../support/log-lines.ts'
import { send } from '../../support/socket-host.ts'
import { startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { post } from '../contracts/support.ts'
import { askToken, createClients, firstClientOf, firstToken } from './support.ts'

/** The secrets in this file are hashed at full cost: 64 MiB and tens of milliseconds each. */
const projectsFile = join(import.meta.dir, '../../fixtures/projects.toml')
const backend = { client_id: 'backend', client_secret: 'backend-secret' }
const login = { ...backend, grant_type: 'password', username: 'ada', password: 'ada-password' }
test('by default an address may send 60 token requests and 100 handshakes a minute', async () => {
  await using server = await startSpillway()
  const forged = (index: number) => ({ 'x-forwarded-for': `203.0.113.${index}` })
  const ask = (index: number) =>
    askToken(server.url, { grant_type: 'x' }, { headers: forged(index) })
  const answers: Awaited<ReturnType<typeof ask>>[] = []
  // The rate allows one more each second, so a slow machine gets a few more than 60.
  const isRefused = async () =>
    answers.push(await ask(answers.length)) && answers.at(-1)?.status === 429
  await until(isRefused, { timeoutMs: 20_000, pauseMs: 0, what: 'a rejection' })
  expect(answers.length).toBeGreaterThan(60)
  expect(answers.at(-1)?.body).toMatchObject({ error: 'rate_limited' })
  expect(Number(answers.at(-1)?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)

  const opened: Response[] = []
  const shakeHands = async (index: number) => {
    const url = `${server.url}/socket.io/?EIO=4&transport=polling`
    opened.push(await fetch(url, { headers: forged(index) }))
    return opened.at(-1)?.status === 429
  }
  await until(() => shakeHands(opened.length), {
    timeoutMs: 20_000,
    pauseMs: 0,
    what: 'a rejection',
  })
  expect(opened.length).toBeGreaterThan(100)
  expect(Number(opened.at(-1)?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  // Events have their own limits.
  const event = { event: 'e', distinct_id: 'u', properties: { token: 'phc_a' } }
  expect((await post(`${server.url}/e/`, event)).status).toBe(200)
}, 60_000)

test('the log contains no secret, token or body, also at level debug', async () => {
  await using server = await startSpillway({ LOG_LEVEL: 'debug', PROJECTS_FILE: projectsFile })
  using clients = createClients()
  const marked = (what: string) => `marked-${what}-${crypto.randomUUID()}`
  const secrets = {
    body: marked('body'),
    key: marked('key').slice(0, 60),
    query: marked('query'),
    wrongSecret: marked('secret'),
    wrongPassword: marked('password'),
    wrongToken: marked('token'),
    payload: marked('payload'),
  }
  const capture = (token: string) => ({ event: 'e', distinct_id: secrets.body, token })
  await post(`${server.url}/e/?ip=${secrets.query}`, capture('phc_shop_web'))
  await post(`${server.url}/e/`, `{"broken": "${secrets.body}`)
  await post(`${server.url}/e/`, capture(secrets.wrongToken))
  await post(`${server.url}/api/events/track`, { event_type: 7, city: secrets.body })
  await post(`${server.url}/api/telemetry/events`, [{ id: secrets.body }])
  await post(
    `${server.url}/users/report/events`,
    { events: [] },
    {
      ...{ 'x-api-key': secrets.key, 'x-user-id': 'u', 'x-app-id': 'a', 'x-platform': 'p' },
      'x-version': '1',
    },
  )
  await askToken(server.url, { ...login, client_secret: secrets.wrongSecret })
  await askToken(server.url, { ...login, password: secrets.wrongPassword })
  await askToken(server.url, { refresh_token: secrets.wrongToken }, { path: '/api/auth/refresh' })
  await askToken(server.url, { ...login, username: secrets.wrongToken }, { form: true })
  const headers = { authorization: `Bearer ${secrets.wrongToken}` }
  await fetch(`${server.url}/api/auth/verify`, { headers })
  const { body: tokens } = await askToken(server.url, login)
  const socket = clients.connect(server.url, tokens.access_token)
  await until(() => socket.connected)
  await send(socket, 'publish', { topic: 'public:news', payload: secrets.payload })
  await send(socket, 'publish', { topic: 'user:other', payload: secrets.payload })
  const stranger = clients.connect(server.url, secrets.wrongToken)
  await new Promise((resolve) => stranger.once('auth_error', resolve))
  await server.stop()

  const log = server.log()
  expect(log).toContain('/api/auth/token')
  expect(log).toContain('socket rejected')
  const { access_token, refresh_token } = tokens
  for (const secret of [...Object.values(secrets), access_token, refresh_token!, 'ada-password'])
    expect(log.includes(secret) && secret).toBe(false)
}, 60_000)

test('the secret of the first client is logged once, at start', async () => {
  await using server = await startSpillway({ LOG_LEVEL: 'debug' })
  const { access_token } = await firstToken(server)
  await server.stop()
  const secretLines = wholeLines(server.log()).filter((line) => line.includes('client_secret'))
  expect(secretLines).toHaveLength(1)
  const client_secret = firstClientOf(server).secret
  expect(server.log().split(client_secret)).toHaveLength(2)
  expect(server.log()).not.toContain(access_token)
}, 60_000)
