import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { io } from 'socket.io-client'
import { temporaryFolder } from '../../support/folder.ts'
import { logLines } from '../../support/log-lines.ts'
import { send } from '../../support/socket-host.ts'
import { until } from '../../support/until.ts'
import { requireCommand } from '../install.ts'
import { run } from './support.ts'

const folder = temporaryFolder()
const certFile = join(folder.path, 'cert.pem')
const keyFile = join(folder.path, 'key.pem')
const logFile = join(folder.path, 'log.jsonl')
let server: Bun.Subprocess
let url: string

/** A self-signed certificate. Clients of this test use it as their certificate authority. */
async function createCertificate(): Promise<void> {
  await requireCommand('openssl', 'openssl')
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const out = ['-keyout', keyFile, '-out', certFile, '-days', '2']
  const openssl = Bun.spawn(['openssl', 'req', '-x509', ...key, ...subject, ...out], {
    stdout: 'ignore',
    stderr: 'ignore',
  })
  if ((await openssl.exited) !== 0) throw new Error('openssl created no certificate')
}

const environment = {
  PATH: process.env.PATH ?? '',
  HOST: '127.0.0.1',
  PORT: '0',
  EMBEDDED_CLICKHOUSE_PORT: '0',
  DATA_DIR: join(folder.path, 'data'),
  TLS_CERT_FILE: certFile,
  TLS_KEY_FILE: keyFile,
}

beforeAll(async () => {
  await createCertificate()
  writeFileSync(logFile, '')
  server = Bun.spawn([process.execPath, join(import.meta.dir, '../../../src/main.ts')], {
    env: environment,
    stdin: 'ignore',
    stdout: Bun.file(logFile),
    stderr: 'inherit',
  })
  await until(async () => (await logOf()).some(({ msg }) => msg === 'ready'), {
    timeoutMs: 30_000,
    what: 'the server',
  })
  const [listening] = await logOf()
  url = String(listening?.url)
}, 60_000)
afterAll(async () => {
  server?.kill('SIGKILL')
  await server?.exited
  folder[Symbol.dispose]()
})

async function logOf() {
  const text = await Bun.file(logFile).text()
  return logLines({ log: () => text })
}

const trusting = async () => ({ tls: { ca: await Bun.file(certFile).text() } })

test('the log names an https URL, and the routes answer', async () => {
  expect(url).toStartWith('https://')
  const options = await trusting()
  expect((await fetch(`${url}/_readiness`, options)).status).toBe(200)
  const tracked = await fetch(`${url}/api/events/track`, {
    ...options,
    method: 'POST',
    body: '{"event_type":"click"}',
  })
  expect(tracked.status).toBe(201)
  const config = await (await fetch(`${url}/api/sdk/config`, options)).json()
  expect(config).toMatchObject({ telemetry: { endpoint: `${url}/api/telemetry/events` } })
})

test('a client that does not trust the certificate fails', async () => {
  await expect(fetch(`${url}/_readiness`)).rejects.toThrow()
})

describe('TLS version', () => {
  test.each([
    ['TLSv1.2', true],
    ['TLSv1.3', true],
    ['TLSv1', false],
    ['TLSv1.1', false],
  ] as const)('%s is accepted: %p', async (version, isAccepted) => {
    const { port } = new URL(url)
    const ca = await Bun.file(certFile).text()
    const versions = { minVersion: version, maxVersion: version }
    const socket = connect({ host: '127.0.0.1', port: Number(port), ca, ...versions })
    const outcome = await Promise.race([
      once(socket, 'secureConnect').then(() => socket.getProtocol()),
      once(socket, 'error').then(() => 'refused'),
    ]).catch(() => 'refused')
    socket.destroy()
    expect(outcome).toBe(isAccepted ? version : 'refused')
  })
})

test('tokens and Socket.IO work over HTTPS and WSS', async () => {
  const logged = (await logOf()).find(({ client_secret }) => client_secret)
  const granted = await fetch(`${url}/api/auth/token`, {
    ...(await trusting()),
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      grant_type: 'client_credentials',
      client_id: logged?.client_id,
      client_secret: logged?.client_secret,
    }),
  })
  const { access_token } = (await granted.json()) as { access_token: string }
  const ca = await Bun.file(certFile).text()
  const options = { auth: { token: `Bearer ${access_token}` }, transports: ['websocket'] }
  const socket = io(url, { ...options, ca, forceNew: true })
  await until(() => socket.connected, { what: 'the connection' })
  const ack = await send(socket, 'subscribe', { topic: 'public:news' })
  socket.disconnect()
  expect(ack.status).toBe('success')
})

test.each(['TLS_CERT_FILE', 'TLS_KEY_FILE'])(
  'the server does not start with %s alone',
  async (name) => {
    const { TLS_CERT_FILE, TLS_KEY_FILE, ...rest } = environment
    const one = name === 'TLS_CERT_FILE' ? { TLS_CERT_FILE } : { TLS_KEY_FILE }
    const data = { DATA_DIR: join(folder.path, name) }
    const { exitCode, errors } = await run(['src/main.ts'], {
      environment: { ...rest, ...one, ...data },
    })
    expect([exitCode, errors]).toEqual([78, 'TLS_CERT_FILE and TLS_KEY_FILE go together\n'])
  },
  30_000,
)
