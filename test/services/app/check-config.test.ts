import { expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { startClickHouse } from '../clickhouse.ts'
import { run } from '../platform/support.ts'
import { startRedis } from '../redis.ts'

setDefaultTimeout(60_000)

const check = (environment: Record<string, string>) =>
  run(['src/main.ts', '--check-config'], { environment })

test('lists all faults of settings, files and services at once, and writes nothing', async () => {
  using folder = temporaryFolder()
  const path = (name: string) => join(folder.path, name)
  writeFileSync(path('keys.json'), '{"keys":[]}')
  writeFileSync(path('projects.toml'), '[[projects]]\nid = 3\n[[projects]]\nid = 4\n')
  for (const name of ['cert.pem', 'key.pem']) writeFileSync(path(name), 'sk_secret')
  const before = readdirSync(folder.path)
  const { exitCode, errors, output } = await check({
    ...{ DATA_DIR: path('data'), PORT: 'x', JOURNAL_MAX_BYTES: '10GB', NODE_ENV: 'production' },
    ...{ AUTH_KEYS_FILE: path('keys.json'), PROJECTS_FILE: path('projects.toml') },
    ...{ TLS_CERT_FILE: path('cert.pem'), TLS_KEY_FILE: path('key.pem') },
    ...{ CLICKHOUSE_URL: 'http://u:sk_secret@127.0.0.1:1/db', KAFKA_BROKERS: '127.0.0.1:1' },
    ...{ REDIS_URL: 'redis://:sk_secret@127.0.0.1:1', KAFKA_BROKER: 'a:1' },
    ...{ ENRICH: 'geo,browser', GEOIP_FILE: path('keys.json'), ARCHIVE: path('archive') },
  })
  expect(exitCode).toBe(78)
  const lines = errors.trim().split('\n')
  const faults = lines.filter((line) => line.startsWith('fault: '))
  for (const start of [
    'fault: PORT "x" is not an integer in 0..65535',
    'fault: JOURNAL_MAX_BYTES "10GB" is not an integer in 16777216..1125899906842624; did you mean 10GiB?',
    `fault: PROJECTS_FILE ${path('projects.toml')}: projects[0].id must be string`,
    `fault: PROJECTS_FILE ${path('projects.toml')}: projects[1].id must be string`,
    `fault: AUTH_KEYS_FILE ${path('keys.json')} holds no signing keys: a JWK set needs`,
    `fault: TLS_CERT_FILE ${path('cert.pem')} and TLS_KEY_FILE`,
    'fault: ENRICH "browser" is not one of user_agent, geo, bots, utm',
    `fault: GEOIP_FILE ${path('keys.json')} cannot be used`,
    'fault: CLICKHOUSE_URL 127.0.0.1:1 does not answer',
    'fault: KAFKA_BROKERS 127.0.0.1:1 does not answer',
    'fault: REDIS_URL 127.0.0.1:1 does not answer',
    `fault: ARCHIVE cannot be used: the folder ${path('archive')} does not exist; create it, or mount its disk`,
  ])
    expect(faults).toContainEqual(expect.stringContaining(start))
  expect(faults).toHaveLength(12)
  expect(lines).toContain('warning: KAFKA_BROKER is not a setting; did you mean KAFKA_BROKERS?')
  expect(output).toBe(`ok: DATA_DIR ${path('data')}\n`)
  expect(errors + output).not.toContain('sk_secret')
  expect(readdirSync(folder.path)).toEqual(before)
})

test('names what a start in production lacks', async () => {
  using folder = temporaryFolder()
  const projects = join(folder.path, 'projects.toml')
  writeFileSync(projects, '[[clients]]\nid = "backend"\npublic = true\n')
  const production = { NODE_ENV: 'production', DATA_DIR: folder.path }
  const withoutClients = await check(production)
  expect(withoutClients.exitCode).toBe(0)
  expect(withoutClients.errors).toContain('warning: AUTH_KEYS_FILE is not set: tokens and')
  const { exitCode, errors } = await check({
    ...{ ...production, WORKERS: '2', PROJECTS_FILE: projects },
  })
  expect(exitCode).toBe(78)
  expect(errors).toContain('fault: AUTH_KEYS_FILE is not set although')
  expect(errors).toContain('fault: WORKERS=2 needs CLICKHOUSE_URL')
  expect(errors).toContain('fault: WORKERS=2 needs REDIS_URL')
})

test('takes real services, and changes nothing there', async () => {
  const [clickhouse, redis] = await Promise.all([startClickHouse(), startRedis()])
  using folder = temporaryFolder()
  try {
    const ask = async (body: string) =>
      (await fetch(clickhouse.url, { method: 'POST', body })).text()
    const before = await ask('SHOW DATABASES')
    const dataDir = join(folder.path, 'data')
    const environment = { CLICKHOUSE_URL: `${clickhouse.url}/own`, REDIS_URL: redis.url }
    const result = await check({ DATA_DIR: dataDir, ...environment })
    expect([result.exitCode, result.errors]).toEqual([0, expect.not.stringContaining('fault:')])
    expect(result.output).toMatch(/^ok: CLICKHOUSE_URL: ClickHouse \d+\.\d/m)
    expect(result.output).toMatch(/^ok: REDIS_URL: Redis \d+\.\d/m)
    expect(result.output).toEndWith('the configuration has no faults\n')
    expect(await ask('SHOW DATABASES')).toBe(before)
    expect(existsSync(dataDir)).toBe(false)
    const clustered = await check({ DATA_DIR: dataDir, ...environment, CLICKHOUSE_CLUSTER: 'none' })
    expect(clustered.exitCode).toBe(78)
    expect(clustered.errors).toContain('has no cluster "none" in system.clusters')
  } finally {
    await Promise.all([clickhouse.stop(), redis.stop()])
  }
})

/** A ClickHouse 22.3: it knows none of the newer settings. */
const startOldClickHouse = () =>
  Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const isVersion = (await request.text()).includes('version()')
      const document = { data: isVersion ? [{ version: '22.3.1.1' }] : [] }
      return Response.json(document, { headers: { 'x-clickhouse-query-id': 'q' } })
    },
  })

/** A server of Redis's protocol that is older than supported. */
const startOldRedis = () =>
  Bun.listen({
    port: 0,
    hostname: '127.0.0.1',
    socket: {
      data(socket, sent) {
        const info = 'redis_version:5.0.14\r\nloading:0\r\n'
        const lines = sent.toString().split('\r\n')
        const commands = lines.flatMap((line, at) => (line.startsWith('*') ? lines[at + 2]! : []))
        for (const command of commands)
          socket.write(/^info$/i.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
      },
    },
  })

/** A broker that knows the requests of Kafka 1.0: Produce up to version 5. */
const startOldKafka = () =>
  Bun.listen({
    port: 0,
    hostname: '127.0.0.1',
    socket: {
      data(socket) {
        socket.write(Buffer.from('0000001000000001000000000001000000000005', 'hex'))
      },
    },
  })

test('refuses services that are too old, and says which version works', async () => {
  const [clickhouse, redis, kafka] = [startOldClickHouse(), startOldRedis(), startOldKafka()]
  try {
    const { exitCode, errors } = await check({
      CLICKHOUSE_URL: `http://127.0.0.1:${clickhouse.port}`,
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      KAFKA_BROKERS: `127.0.0.1:${kafka.port}`,
    })
    expect(exitCode).toBe(78)
    expect(errors).toMatch(
      /fault: CLICKHOUSE_URL \S+ is ClickHouse 22\.3\.1\.1, and lacks .*; use 24\.4 or newer/,
    )
    expect(errors).toMatch(/fault: REDIS_URL \S+ is Redis 5\.0\.14; use 6\.2 or newer/)
    expect(errors).toMatch(/fault: KAFKA_BROKERS \S+ is older than Kafka 2\.1; use 2\.1 or newer/)
  } finally {
    clickhouse.stop(true)
    redis.stop(true)
    kafka.stop(true)
  }
})

test('a start with faulty settings ends with the same exit code', async () => {
  const { exitCode, errors } = await run(['src/main.ts'], { environment: { PORT: 'x' } })
  expect([exitCode, errors]).toEqual([78, 'PORT "x" is not an integer in 0..65535\n'])
})
