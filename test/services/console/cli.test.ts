import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { run } from '../platform/support.ts'
import { contracts, type Document, post, read, senders, tag } from './support.ts'

const folder = temporaryFolder()
let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const command = (name: string, ...args: string[]) =>
  run([`src/cli/${name}.ts`, ...args], { environment: { SPILLWAY_URL: server.url } })

/** Every character that could act on a terminal. */
const acting = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/

test.each(contracts)('trace follows an event of %s to its row', async (contract) => {
  const sent = await senders[contract](server.url)
  const { exitCode, output } = await command('trace', sent.requestId, '--follow')
  expect(exitCode).toBe(0)
  expect(output).toContain(`STORED ${contract}`)
  expect(output).toContain(sent.requestId)
  expect(output).not.toMatch(acting)
  const json = await command('trace', sent.requestId, '--json')
  expect(json.output).not.toMatch(acting)
  expect(JSON.parse(json.output).events[0]).toMatchObject({ contract, outcome: 'stored' })
})

test('trace tells what was refused, and what is nowhere', async () => {
  const sent = await post(`${server.url}/e`, `{"event": ${tag}`)
  const refused = await command('trace', sent.requestId)
  expect(refused.exitCode).toBe(0)
  expect(refused.output).toContain('REFUSED capture 400 invalid_json')
  expect(refused.output).not.toMatch(acting)
  const nowhere = await command('trace', crypto.randomUUID())
  expect(nowhere.exitCode).toBe(1)
  expect(nowhere.output).toContain('searched: clickhouse')
  expect(nowhere.errors.trim()).toBe('nothing was found')
})

test('tail shows events as they pass', async () => {
  const tailing = command('tail', '--project', 'phc_console', '--count', '3')
  const asJson = command(
    'tail',
    '--contract',
    'capture',
    '--outcome',
    'rejected',
    '--count',
    '1',
    '--json',
  )
  const sending = setInterval(() => {
    void senders.capture(server.url)
    void post(`${server.url}/e`, { api_key: 'phc_console', event: '', distinct_id: tag })
  }, 100)
  const [text, json] = await Promise.all([tailing, asJson]).finally(() => clearInterval(sending))
  expect(text.exitCode).toBe(0)
  expect(text.output.trim().split('\n')).toHaveLength(3)
  expect(text.output).not.toMatch(acting)
  expect(JSON.parse(json.output)).toMatchObject({ outcome: 'rejected', distinct_id: tag })
}, 60_000)

test('dead-letters lists, shows, and sends again', async () => {
  await post(`${server.url}/e`, { api_key: 'phc_cli', event: '', distinct_id: tag })
  const letter = await until(
    async () => (await read(server, 'dead-letters?project=phc_cli')).letters[0],
  )
  const { uuid } = letter
  const filter = ['--project', 'phc_cli']
  const list = await command('dead-letters', 'list', ...filter)
  expect(list.output).toContain(uuid)
  const groups = await command('dead-letters', 'groups')
  expect(groups.output).toContain('capture missing_event_name in phc_cli')
  const show = await command('dead-letters', 'show', uuid)
  expect(show.output).toContain('what to do: Give the event a name')
  expect(show.output).not.toMatch(acting)

  const dry = await command('dead-letters', 'resend', '--all', ...filter, '--dry-run')
  expect(dry.exitCode).toBe(1)
  expect(dry.output).toContain('dry run: 0 stored, 0 stored already, 1 rejected')
  expect(dry.errors).toContain('1 of 1')

  const file = join(folder.path, 'event.json')
  writeFileSync(file, JSON.stringify({ event: 'repaired', distinct_id: 'ada' }))
  const stored = await command('dead-letters', 'resend', uuid, '--event', file, '--json')
  expect(stored.exitCode).toBe(0)
  expect(JSON.parse(stored.output)).toMatchObject({ uuid, verdict: 'stored' })
  const again = await command('dead-letters', 'resend', uuid, '--event', file)
  expect([again.exitCode, again.output]).toEqual([0, expect.stringContaining('duplicate')])
  await until(async () => {
    const rows = await server.query<Document>("SELECT uuid FROM events WHERE event = 'repaired'")
    return rows.length === 1
  })
}, 60_000)

test('wrong arguments and a server that is away get a sentence', async () => {
  for (const args of [
    ['trace'],
    ['trace', 'a', 'b'],
    ['trace', '--nix'],
    ['trace', 'x', '--follow=1'],
    ['tail', '--count', '0'],
    ['tail', '--count'],
    ['tail', 'extra'],
    ['drain', 'extra'],
    ['drain', '--timeout', 'soon'],
    ['drain', '--url'],
    ['dead-letters', 'remove'],
    ['dead-letters', 'resend'],
  ]) {
    const [name, ...rest] = args
    const { exitCode, errors } = await command(name!, ...rest)
    expect([args, exitCode]).toEqual([args, 64])
    expect(errors).toContain('usage: bun run')
  }
  const away = await command('trace', 'x', '--url', 'http://127.0.0.1:1')
  expect([away.exitCode, away.errors]).toEqual([1, expect.stringContaining('cannot reach')])
  const bad = await command('dead-letters', 'list', '--contract', 'nix')
  expect([bad.exitCode, bad.errors]).toEqual([64, expect.stringContaining('is not one of capture')])
  const noUrl = await command('trace', 'x', '--url', 'localhost:3000')
  expect([noUrl.exitCode, noUrl.errors]).toEqual([64, expect.stringContaining('is not a URL')])
  const none = await command('dead-letters', 'list', '--project', 'phc_none')
  expect([none.exitCode, none.errors]).toEqual([1, expect.stringContaining('no dead letter')])
}, 60_000)

test('tail says that the server ended the stream', async () => {
  const shortLived = Bun.serve({
    port: 0,
    fetch: () => new Response('event: idle\ndata: {"at_ms":1}\n\n'),
  })
  try {
    const { exitCode, errors } = await command('tail', '--url', shortLived.url.origin)
    expect([exitCode, errors]).toEqual([1, expect.stringContaining('the server ended the stream')])
  } finally {
    await shortLived.stop(true)
  }
})

test('the address of this machine is https where the server has a certificate', async () => {
  const environment = { PORT: '1', TLS_CERT_FILE: 'cert.pem' }
  const tls = await run(['src/cli/trace.ts', 'x'], { environment })
  expect(tls.errors).toContain('cannot reach https://127.0.0.1:1')
  const admin = await run(['src/cli/trace.ts', 'x'], {
    environment: { ...environment, ADMIN_PORT: '2' },
  })
  expect(admin.errors).toContain('cannot reach http://127.0.0.1:2')
})

test('query asks the embedded ClickHouse of this machine', async () => {
  const environment = { EMBEDDED_CLICKHOUSE_PORT: new URL(server.queryUrl).port }
  const query = (...args: string[]) => run(['src/cli/query.ts', ...args], { environment })
  const answer = await query('SELECT 40 + 2 AS answer')
  expect([answer.exitCode, answer.output]).toEqual([0, expect.stringContaining('42')])
  const hostile = await query("SELECT '\\x1b[31mred\\x07', 2 FORMAT TSVRaw")
  expect(hostile.output).toBe('\\u001b[31mred\\u0007\t2\n')
  const faulty = await query('SELECT nothing')
  expect([faulty.exitCode, faulty.errors]).toEqual([1, expect.stringContaining('nothing')])
  expect((await query()).exitCode).toBe(64)
})
