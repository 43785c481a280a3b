import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { settingsSchema } from '../../../src/config/config.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { logLines } from '../../support/log-lines.ts'
import { startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { askToken, firstClientOf, run } from '../platform/support.ts'

const main = 'src/main.ts'

/** Starts the server on a free port. The start is expected to fail. */
function startFailing(folder: string, environment: Record<string, string>) {
  const data = { DATA_DIR: join(folder, 'data'), PORT: '0', EMBEDDED_CLICKHOUSE_PORT: '0' }
  return run([main], { environment: { ...data, ...environment } })
}

test('refuses to start in production with clients and without signing keys, and names the remedy', async () => {
  using folder = temporaryFolder()
  const projects = join(folder.path, 'projects.toml')
  writeFileSync(projects, '[[clients]]\nid = "backend"\npublic = true\n')
  const { exitCode, errors } = await startFailing(folder.path, {
    ...{ NODE_ENV: 'production', PROJECTS_FILE: projects },
  })
  expect(exitCode).toBe(1)
  expect(errors).toBe(
    'AUTH_KEYS_FILE is not set although the projects file has clients, and NODE_ENV=production refuses to sign with a development key: ' +
      'make one with `bun run make-key --out keys.json` and name it there\n',
  )
})

test('serves events in production without signing keys; what needs tokens answers 503', async () => {
  await using server = await startSpillway({ NODE_ENV: 'production' })
  const body = JSON.stringify({ api_key: 'phc_a', event: 'e', distinct_id: 'd' })
  expect((await fetch(`${server.url}/e/`, { method: 'POST', body })).status).toBe(200)
  for (const [method, path] of [
    ['POST', '/api/auth/token'],
    ['POST', '/api/auth/refresh'],
    ['POST', '/api/auth/revoke'],
    ['GET', '/api/auth/verify'],
    ['GET', '/.well-known/jwks.json'],
    ['GET', '/.well-known/oauth-authorization-server'],
  ] as const) {
    const reply = await fetch(`${server.url}${path}`, { method })
    expect([path, reply.status]).toEqual([path, 503])
    expect(await reply.json()).toEqual({
      error: 'temporarily_unavailable',
      error_description: 'this server issues no tokens: its AUTH_KEYS_FILE is not set',
    })
  }
  const socket = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`)
  expect(socket.status).toBe(503)
  expect(await socket.json()).toMatchObject({ code: 'no_tokens' })
  const health = await (await fetch(`${server.url}/api/health`)).json()
  expect(health).toMatchObject({
    status: 'degraded',
    services: { telemetry: 'healthy', auth: 'unhealthy', websocket: 'unhealthy' },
  })
  expect(server.log()).toContain('AUTH_KEYS_FILE is not set: tokens and realtime answer 503')
}, 60_000)

test('names DATA_DIR if it cannot be a folder', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'file')
  writeFileSync(path, '')
  const { exitCode, errors } = await startFailing(folder.path, { DATA_DIR: join(path, 'data') })
  expect(exitCode).toBe(1)
  expect(errors).toStartWith(`DATA_DIR ${join(path, 'data')} cannot be used: ENOTDIR`)
  expect(errors.trim().split('\n')).toHaveLength(1)
})

const files: [string, string, string, string][] = [
  ['no JSON', 'AUTH_KEYS_FILE', 'sk_secret {', 'holds no signing keys: it is not JSON'],
  ['no keys', 'AUTH_KEYS_FILE', '{"keys":[]}', 'a JWK set needs a non-empty array "keys"'],
  ['a faulty project', 'PROJECTS_FILE', '[[projects]]\nid = 3\n', 'projects[0].id must be string'],
  ['no TOML', 'PROJECTS_FILE', '[[projects]\nsk_secret', 'line 1, column'],
]

test.each(files)(
  'refuses a file with %s as %s, and names the file',
  async (_, setting, text, sentence) => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'file')
    writeFileSync(path, text)
    const { exitCode, errors } = await startFailing(folder.path, { [setting]: path })
    expect(exitCode).toBe(1)
    expect(errors).toContain(path)
    expect(errors).toContain(sentence)
    expect(errors).not.toContain('sk_secret')
    // One sentence for the operator, without a stack.
    expect(errors.trim().split('\n')).toHaveLength(1)
  },
)

const needed: Record<string, Record<string, string>> = {
  TLS_CERT_FILE: { TLS_KEY_FILE: import.meta.path },
  TLS_KEY_FILE: { TLS_CERT_FILE: import.meta.path },
  KAFKA_TLS_CA_FILE: { KAFKA_TLS: 'true', KAFKA_BROKERS: '127.0.0.1:1' },
}

/** A file that is missing here refuses no start: events are stored without what it would add. */
const optional = ['GEOIP_FILE']
const fileSettings = Object.keys(settingsSchema.properties)
  .filter((name) => name.endsWith('_FILE'))
  .filter((name) => !optional.includes(name))

test.each(fileSettings)(
  'refuses a missing file as %s, and names setting and file',
  async (setting) => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'none')
    const environment = { ...needed[setting], [setting]: path }
    const { exitCode, errors } = await startFailing(folder.path, environment)
    expect(exitCode).toBe(1)
    expect(errors.trim().split('\n')).toEqual([expect.stringContaining(`${setting} ${path}`)])
  },
)

test('serves tokens in production with the output of make-key and hash-secret', async () => {
  using folder = temporaryFolder()
  const [keysFile, projectsFile] = [join(folder.path, 'keys.json'), join(folder.path, 'p.toml')]
  const key = await run(['run', '--silent', 'make-key'])
  expect(key.exitCode).toBe(0)
  writeFileSync(keysFile, key.output)
  const hash = async (secret: string) => {
    const { exitCode, output } = await run(['run', '--silent', 'hash-secret'], {
      input: `${secret}\n`,
    })
    expect(exitCode).toBe(0)
    return output.trim()
  }
  writeFileSync(
    projectsFile,
    `[[clients]]
id = "backend"
secret_hash = "${await hash('backend-secret')}"
permissions = ["private:orders"]

[[users]]
id = "u1"
username = "ada"
password_hash = "${await hash('ada-password')}"
email = "ada@example.com"
permissions = ["private:*"]
`,
  )
  await using server = await startSpillway({
    NODE_ENV: 'production',
    AUTH_KEYS_FILE: keysFile,
    PROJECTS_FILE: projectsFile,
  })
  const client = { client_id: 'backend', client_secret: 'backend-secret' }
  const granted = await askToken(server.url, { ...client, grant_type: 'client_credentials' })
  expect(granted).toMatchObject({ status: 200, body: { token_type: 'Bearer', expires_in: 3600 } })
  expect(granted.body.scope).toEqual(['public:*', 'private:orders'])

  const jwks = await (await fetch(`${server.url}/.well-known/jwks.json`)).json()
  const { kid, x } = JSON.parse(key.output).keys[0]
  expect(jwks).toEqual({ keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' }] })

  const login = { grant_type: 'password', username: 'ada', password: 'ada-password' }
  const ada = await askToken(server.url, { ...client, ...login })
  const headers = { authorization: `Bearer ${ada.body.access_token}` }
  const verified = await fetch(`${server.url}/api/auth/verify`, { headers })
  expect(await verified.json()).toEqual({
    valid: true,
    user: { id: 'u1', email: 'ada@example.com', permissions: ada.body.scope },
    expires_at: expect.any(Number),
  })
  expect(server.log()).not.toContain('client_secret')
}, 60_000)

test('logs its address first and the first client second', async () => {
  await using server = await startSpillway()
  const [first, second] = logLines(server)
  expect(first).toMatchObject({ msg: 'listening', url: server.url })
  expect(second).toMatchObject({ client_id: 'first-client' })
  const before = firstClientOf(server)
  await server.stop()
  await server.start()
  // The same after a restart: the client is stored in the data folder.
  expect(server.log().split(before.secret)).toHaveLength(3)
}, 60_000)

test('stores an event that arrives between listening and ready', async () => {
  await using server = await startSpillway()
  await server.stop()
  const starting = server.start()
  const send = () =>
    fetch(`${server.url}/e`, {
      method: 'POST',
      body: JSON.stringify({ token: 'phc_a', event: 'early', distinct_id: 'u1' }),
    }).catch(() => undefined)
  // The first connection that is not refused: the journal is not open yet.
  const reply = await until(send, { timeoutMs: 20_000, pauseMs: 1, what: 'a reply' })
  expect(reply.status).toBe(200)
  await starting
  // Access lines are written a moment after the reply.
  const messages = await until(
    () => {
      const read = logLines(server).map(({ msg, path }) => path ?? msg)
      return read.includes('/e') ? read : undefined
    },
    { what: 'the line of the request' },
  )
  expect(messages.lastIndexOf('listening')).toBeLessThan(messages.indexOf('/e'))
}, 60_000)
