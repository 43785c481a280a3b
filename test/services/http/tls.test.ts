import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { io } from 'socket.io-client'
import { temporaryFolder } from '../../support/folder.ts'
import { freePort } from '../../support/port.ts'
import { until } from '../../support/until.ts'
import { requireCommand } from '../install.ts'

const folder = temporaryFolder()
const cert = join(folder.path, 'cert.pem')
const key = join(folder.path, 'key.pem')
const port = freePort()
const url = `https://127.0.0.1:${port}`
const main = join(import.meta.dir, '../../../src/main.ts')

function run(command: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: 'ignore' })
  return { exitCode, text: `${stdout}${stderr}` }
}

function startMain(environment: Record<string, string>) {
  return Bun.spawn([process.execPath, main], {
    env: {
      PATH: process.env.PATH ?? '',
      PORT: String(port),
      HOST: '127.0.0.1',
      DATA_DIR: join(folder.path, 'data'),
      EMBEDDED_CLICKHOUSE_PORT: '0',
      ...environment,
    },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
}

let server: ReturnType<typeof startMain>
beforeAll(async () => {
  await requireCommand('openssl', 'openssl')
  const made = run([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
    ...['-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
  ])
  if (made.exitCode !== 0) throw new Error(made.text)
  server = startMain({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key })
  await until(
    () =>
      call('/_readiness').then(
        ({ ok }) => ok,
        () => false,
      ),
    {
      timeoutMs: 30_000,
      what: 'the server',
    },
  )
}, 60_000)
afterAll(async () => {
  server.kill('SIGKILL')
  await server.exited
  folder[Symbol.dispose]()
})

/** The certificate is verified, as by a client that trusts it. */
function call(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url + path, { ...init, tls: { ca: Bun.file(cert) } })
}

test('accepts events over HTTPS', async () => {
  const body = JSON.stringify({ api_key: 'phc_t', event: 'secure', distinct_id: 'u' })
  const response = await call('/batch', { method: 'POST', body })
  expect(await response.json()).toEqual({ code: 1, status: 'ok' })
})

test.each([
  ['-tls1', false],
  ['-tls1_1', false],
  ['-tls1_2', true],
  ['-tls1_3', true],
])('accepts %s: %p', (version, isAccepted) => {
  const { exitCode, text } = run([
    ...['openssl', 's_client', '-connect', `127.0.0.1:${port}`, '-CAfile', cert, version],
    ...['-cipher', 'DEFAULT@SECLEVEL=0'],
  ])
  expect(exitCode === 0).toBe(isAccepted)
  if (!isAccepted) expect(text).toContain('protocol version')
})

test('does not reply to a request without TLS', async () => {
  await expect(fetch(url.replace('https', 'http'))).rejects.toThrow()
})

test.each(['websocket', 'polling'])('Socket.IO connects over TLS by %s', async (transport) => {
  const token = await call('/api/auth/token', { method: 'POST', body: '{}' })
  expect(token.status).toBe(400) // The route answers. Tokens are tested elsewhere.
  const socket = io(url, {
    transports: [transport],
    rejectUnauthorized: false,
    reconnection: false,
  })
  let answer = ''
  socket.on('auth_error', () => {
    answer = 'auth_error'
  })
  socket.on('connect_error', (error) => {
    answer = error.message
  })
  // A handshake without a token ends with the contract's own error, so the channel works.
  await until(() => answer, { what: 'an answer' })
  socket.close()
  expect(answer).toBe('auth_error')
})

test('refuses to start with a certificate without its key', async () => {
  const child = startMain({ PORT: '0', TLS_CERT_FILE: cert })
  expect(await child.exited).toBe(78)
  expect(await new Response(child.stderr).text()).toContain(
    'TLS_CERT_FILE and TLS_KEY_FILE go together',
  )
})
