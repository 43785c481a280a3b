import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { blocksOf, readDocument, root } from '../../support/documents.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'
import { askToken } from '../platform/support.ts'
import { shared } from '../shared.ts'

/** Follows docs/procedures.md with its own commands, on real servers. */
setDefaultTimeout(240_000)

const blocks = blocksOf('docs/procedures.md', 'sh')
const asked = new Set<string>()
/** The table of what a node keeps in DATA_DIR. */
const kept = readDocument('docs/procedures.md').split('## Back up')[0]!

/** Runs the block that contains `part`, in the folder of the repository. Resolves with its exit code. */
async function follow(part: string, environment: Record<string, string>, replaced = ['', '']) {
  const found = blocks.filter((text) => text.includes(part))
  expect(found).toHaveLength(1)
  asked.add(found[0]!)
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  const command = found[0]!.replaceAll('2026-11-28', yesterday)
  const script = `set -e\n${command.replaceAll(replaced[0] || ' ', replaced[1] || ' ')}`
  const child = Bun.spawn(['sh', '-c', script], {
    cwd: root,
    env: {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      HOME: process.env.HOME ?? '',
      ...environment,
    },
    ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { exitCode: await child.exited, text: output + errors }
}

async function send({ url }: Spillway, name: string, count: number): Promise<number> {
  const batch = Array.from({ length: count }, () => ({ event: name, distinct_id: 'd' }))
  const body = JSON.stringify({ api_key: 'phc_procedures', batch })
  return (await fetch(`${url}/batch/`, { method: 'POST', body })).status
}

const drained = ({ url }: Spillway) =>
  until(async () => (await scrape(url))('spillway_sink_waiting_records') === 0, {
    ...{ timeoutMs: 60_000, pauseMs: 50, what: 'an empty backlog' },
  })

async function countRows(server: Spillway): Promise<Record<string, number>> {
  const rows = await server.query<{ event: string; n: string }>(
    'SELECT event, count() AS n FROM events GROUP BY event',
  )
  return Object.fromEntries(rows.map(({ event, n }) => [event, Number(n)]))
}

let clickhouse: ClickHouseService
beforeAll(async () => {
  clickhouse = await startClickHouse()
}, 120_000)
afterAll(() => clickhouse.stop())

describe('procedures', () => {
  test('a backup is restored, and a replay brings what came after it', async () => {
    using folder = temporaryFolder()
    const archive = join(folder.path, 'archive')
    mkdirSync(archive)
    await using server = await startSpillway({ ARCHIVE: archive, ARCHIVE_FLUSH_MS: '100' })
    const environment = {
      ...{ DATA_DIR: server.dataDir, ARCHIVE: archive, SPILLWAY_URL: server.url },
    }
    const backup = ['backup.tar.gz', join(folder.path, 'backup.tar.gz')]
    expect(await send(server, 'before', 10)).toBe(200)
    await drained(server)
    expect(readdirSync(server.dataDir).filter((name) => !kept.includes(`\`${name}\``))).toEqual([])
    expect(await follow('-czf', environment, backup)).toMatchObject({ exitCode: 0 })
    await server.start()
    expect(await send(server, 'after', 20)).toBe(200)
    await drained(server)
    await server.kill()

    const restore = () => {
      rmSync(server.dataDir, { recursive: true })
      return follow('-xzf', environment, backup)
    }
    expect(await restore()).toMatchObject({ exitCode: 0 })
    await server.start()
    expect(await countRows(server)).toEqual({ before: 10, after: 20 })

    // The journal of the backup gives these the offsets of the events after it.
    expect(await send(server, 'later', 5)).toBe(200)
    await drained(server)
    await server.kill()
    expect(await restore()).toMatchObject({ exitCode: 0 })
    await server.start()
    expect(await countRows(server)).toEqual({ before: 10, after: 20, later: 5 })
  })

  test('a node that moves to another disk knows its events', async () => {
    using folder = temporaryFolder()
    await using server = await startSpillway()
    const uuid = crypto.randomUUID()
    const event = { event: 'moved', distinct_id: 'd', uuid }
    const body = JSON.stringify({ api_key: 'phc_procedures', batch: [event] })
    const sendOne = async () =>
      (await fetch(`${server.url}/batch/`, { method: 'POST', body })).status
    expect(await sendOne()).toBe(200)
    const place = join(folder.path, 'spillway')
    const environment = { DATA_DIR: server.dataDir, SPILLWAY_URL: server.url }
    const moved = await follow('cp -a', environment, ['/mnt/new-disk/spillway', place])
    expect(moved).toMatchObject({ exitCode: 0 })
    rmSync(server.dataDir, { recursive: true })
    await server.start({ DATA_DIR: place })
    expect(await sendOne()).toBe(200)
    await drained(server)
    expect(await countRows(server)).toEqual({ moved: 1 })
    expect((await scrape(server.url))('spillway_events_duplicate_total')).toBe(1)
  })

  test('a journal that is larger than its new limit is delivered, and nothing is lost', async () => {
    const url = `${clickhouse.url}/resized`
    const large = { JOURNAL_MAX_BYTES: '64MiB', JOURNAL_SEGMENT_BYTES: '1MiB', CLICKHOUSE_URL: url }
    await using server = await startSpillway({ ...large, SHUTDOWN_MS_MAX: '200' })
    await until(() => countRows(server).then(Boolean, () => false), {
      timeoutMs: 60_000,
      what: 'the tables',
    })
    await clickhouse.kill()
    const filler = 'x'.repeat(10_000)
    let sent = 0
    for (let bytes = 0; bytes < 24 * 2 ** 20; bytes += 100 * filler.length) {
      const batch = Array.from({ length: 100 }, () => ({
        ...{ event: 'resized', distinct_id: 'd', properties: { filler: filler + Math.random() } },
      }))
      const body = JSON.stringify({ api_key: 'phc_procedures', batch })
      expect((await fetch(`${server.url}/batch/`, { method: 'POST', body })).status).toBe(200)
      sent += 100
    }
    expect(await server.stop()).toBe(3)
    // It is not ready while its journal is full, so `start` may give up before.
    const starting = server.start({ JOURNAL_MAX_BYTES: '16MiB' }).catch(() => {})
    const isFull = async () => (await send(server, 'refused', 1).catch(() => 0)) === 503
    await until(isFull, { timeoutMs: 60_000, what: 'a full journal' })
    await clickhouse.restart()
    const isTaken = async () => (await send(server, 'taken', 1)) === 200
    await until(isTaken, { timeoutMs: 120_000, what: 'room in the journal' })
    await starting
    await drained(server)
    expect(await countRows(server)).toEqual({ resized: sent, taken: 1 })
  })

  test('a node is added and removed while the other one takes events', async () => {
    const settings = {
      CLICKHOUSE_URL: `${clickhouse.url}/nodes`,
      ...{ REDIS_URL: await shared.redis(), REDIS_PREFIX: crypto.randomUUID() },
    }
    await using first = await startSpillway(settings)
    await using second = await startSpillway(settings)
    for (let round = 0; round < 20; round += 1) {
      expect(await send(first, 'first', 5)).toBe(200)
      expect(await send(second, 'second', 5)).toBe(200)
    }
    const environment = { DATA_DIR: second.dataDir, SPILLWAY_URL: second.url }
    expect(await follow('rm -r', environment)).toMatchObject({ exitCode: 0 })
    expect(existsSync(second.dataDir)).toBe(false)
    expect(await send(first, 'first', 5)).toBe(200)
    await drained(first)
    expect(await countRows(first)).toEqual({ first: 105, second: 100 })
  })

  test('a node that still has events is not removed', async () => {
    await using server = await startSpillway({ CLICKHOUSE_URL: 'http://127.0.0.1:1/none' })
    expect(await send(server, 'waiting', 1)).toBe(200)
    const environment = { DATA_DIR: server.dataDir, SPILLWAY_URL: server.url }
    const removed = await follow('rm -r', environment, ['--stop', '--stop --timeout 1'])
    expect(removed.exitCode).not.toBe(0)
    expect(existsSync(join(server.dataDir, 'journal'))).toBe(true)
  })

  test('a new signing key signs, and tokens of the old one are valid until it is removed', async () => {
    using folder = temporaryFolder()
    const [projects, keys] = ['projects.toml', 'keys.json'].map((name) => join(folder.path, name))
    const hash = await Bun.password.hash('secret', {
      algorithm: 'argon2id',
      memoryCost: 1024,
      timeCost: 1,
    })
    writeFileSync(projects!, `[[clients]]\nid = "app"\nsecret_hash = "${hash}"\n`)
    const make = ['run', '--silent', 'make-key', '--out', keys!]
    expect(Bun.spawnSync([process.execPath, ...make], { cwd: root }).exitCode).toBe(0)
    await using server = await startSpillway({
      ...{ PROJECTS_FILE: projects!, AUTH_KEYS_FILE: keys!, RATE_AUTH_PER_MINUTE: '0' },
    })
    const login = { grant_type: 'client_credentials', client_id: 'app', client_secret: 'secret' }
    const newToken = async () => (await askToken(server.url, login)).body.access_token
    const kidOf = (token: string) => (JSON.parse(atob(token.split('.')[0]!)) as { kid: string }).kid
    const verify = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` }
      return (await fetch(`${server.url}/api/auth/verify`, { headers })).status
    }
    const old = await newToken()
    expect(await verify(old)).toBe(200)
    expect(await follow('--add', { AUTH_KEYS_FILE: keys! })).toMatchObject({ exitCode: 0 })
    const fresh = await until(
      async () => {
        const token = await newToken()
        return kidOf(token) === kidOf(old) ? undefined : token
      },
      { timeoutMs: 60_000, pauseMs: 100, what: 'a token of the new key' },
    )
    expect([await verify(old), await verify(fresh)]).toEqual([200, 200])
    const written = JSON.parse(readFileSync(keys!, 'utf8')) as { keys: unknown[] }
    writeFileSync(keys!, JSON.stringify({ keys: written.keys.slice(0, 1) }))
    await until(async () => (await verify(old)) === 401, {
      timeoutMs: 60_000,
      pauseMs: 50,
      what: 'the end of the old key',
    })
    expect(await verify(fresh)).toBe(200)
  })

  test('an API key is replaced without a restart', async () => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'projects.toml')
    const write = (...keys: string[]) =>
      writeFileSync(path, `[[projects]]\nid = "p"\napi_keys = ${JSON.stringify(keys)}\n`)
    write('sk_old')
    await using server = await startSpillway({ PROJECTS_FILE: path })
    const report = async (key: string) => {
      const headers = {
        ...{ 'content-type': 'application/json', 'x-api-key': key, 'x-user-id': 'u' },
        ...{ 'x-app-id': 'a', 'x-platform': 'ios', 'x-version': '1' },
      }
      const body = JSON.stringify({ events: [{ name: 'open', user: 'u', sessionId: 's' }] })
      const init = { method: 'POST', headers, body }
      return (await fetch(`${server.url}/users/report/events`, init)).status
    }
    const [ok, refused] = [await report('sk_old'), await report('sk_new')]
    expect(ok).toBeLessThan(300)
    expect(refused).toBeGreaterThanOrEqual(400)
    write('sk_old', 'sk_new')
    await until(async () => (await report('sk_new')) === ok, { timeoutMs: 60_000, pauseMs: 50 })
    expect(await report('sk_old')).toBe(ok)
    write('sk_new')
    await until(async () => (await report('sk_old')) === refused, {
      timeoutMs: 60_000,
      pauseMs: 50,
    })
    expect(await report('sk_new')).toBe(ok)
  })

  test('the commands of an upgrade work on a folder that is in use', async () => {
    await using server = await startSpillway()
    const environment = { DATA_DIR: server.dataDir, PORT: '0' }
    const { exitCode, text } = await follow('--check-config', environment)
    expect({ exitCode, text }).toMatchObject({ exitCode: 0 })
    expect(text).toContain('the configuration has no faults')
  })

  test('every block is run', () => {
    expect(blocks.filter((text) => !asked.has(text))).toEqual([])
  })
})
