import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Socket } from 'socket.io-client'
import { generateKeySet } from '../../../src/platform/auth/keys.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { startRedis } from '../../support/redis-server.ts'
import { collect, send } from '../../support/socket-host.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { askToken, createClients } from './support.ts'

/** Publishes until a message arrives: messages are lost while Redis is unavailable. */
async function untilReceived(writer: Socket, reader: Socket, topic: string): Promise<void> {
  const received = collect(reader, 'message')
  const isReceived = async () => {
    await send(writer, 'publish', { topic, payload: crypto.randomUUID() })
    return received.length > 0
  }
  await until(isReceived, { timeoutMs: 30_000, pauseMs: 100, what: `a message on ${topic}` })
  reader.off('message')
}

test('two processes share channels and sessions over Redis, also after a restart of Redis', async () => {
  await using redis = await startRedis()
  using folder = temporaryFolder()
  const [keysFile, projectsFile] = [join(folder.path, 'keys.json'), join(folder.path, 'p.toml')]
  writeFileSync(keysFile, await generateKeySet())
  const hash = await Bun.password.hash('app-secret', {
    algorithm: 'argon2id',
    memoryCost: 1024,
    timeCost: 1,
  })
  writeFileSync(
    projectsFile,
    `[[projects]]\nid = "shop"\n[[clients]]\nid = "app"\nsecret_hash = "${hash}"\npermissions = ["system:notify"]\n`,
  )
  const environment = {
    REDIS_URL: redis.url,
    AUTH_KEYS_FILE: keysFile,
    PROJECTS_FILE: projectsFile,
    // On a busy machine a restarted Redis may need more than the default of 50 ms.
    REDIS_TIMEOUT_MS: '1000',
  }
  await using one = await startSpillway(environment)
  await using two = await startSpillway(environment)
  using clients = createClients()
  const login = { grant_type: 'client_credentials', client_id: 'app', client_secret: 'app-secret' }
  const { body: tokens } = await askToken(one.url, login)
  const connect = async (server: Spillway) => {
    const socket = clients.connect(server.url, tokens.access_token, { transports: ['websocket'] })
    await until(() => socket.connected, { what: 'the connection' })
    await send(socket, 'subscribe', { topic: 'public:news' })
    return socket
  }
  // A token of one node is valid on the other.
  const [onOne, onTwo] = [await connect(one), await connect(two)]
  await untilReceived(onOne, onTwo, 'public:news')
  await untilReceived(onTwo, onOne, 'public:news')

  const notified = collect(onTwo, 'notification')
  await send(onOne, 'publish', { topic: 'system:notifications', payload: 'hello' })
  await until(() => notified.length > 0, { what: 'the notification' })

  await redis.stop()
  // Without Redis each node serves its own clients, and accepts events.
  const alone = await fetch(`${one.url}/api/events/track`, {
    method: 'POST',
    body: '{"event_type":"click","project_id":"shop"}',
  })
  expect(alone.status).toBe(201)
  const near = await connect(one)
  await untilReceived(near, onOne, 'public:news')
  await redis.start()
  await untilReceived(onOne, onTwo, 'public:news')
  await untilReceived(onTwo, onOne, 'public:news')

  // A refresh token used once on each node is a reuse: the session ends on both.
  const { body: session } = await askToken(one.url, login)
  const refresh = (server: Spillway) =>
    askToken(server.url, { refresh_token: session.refresh_token }, { path: '/api/auth/refresh' })
  const ofSession = clients.connect(two.url, session.access_token)
  await until(() => ofSession.connected)
  const faults = collect(ofSession, 'auth_error')
  expect((await refresh(two)).status).toBe(200)
  expect((await refresh(one)).status).toBe(400)
  await until(() => faults.length > 0, { timeoutMs: 60_000, what: 'the revocation' })
  expect(faults).toMatchObject([{ code: 'token_revoked' }])
}, 120_000)
