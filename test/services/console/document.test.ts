import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { blocksOf, root } from '../../support/documents.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type Document, post, read } from './support.ts'

/** Runs the commands of docs/console.md, with the ids of events of this test. */
const commands = blocksOf('docs/console.md', 'sh')
  .flatMap((text) => text.trim().split('\n'))
  .map((line) => line.replace(/ +# .*/, ''))
const asked = new Set<string>()

const folder = temporaryFolder()
let server: Spillway
let stored: string
let letter: string
beforeAll(async () => {
  server = await startSpillway({ ADMIN_TOKEN: 'a-token-of-this-test' })
  const event = { api_key: 'shop', event: 'bought', distinct_id: 'ada' }
  stored = (await post(`${server.url}/e`, event)).requestId
  await post(`${server.url}/e`, { api_key: 'shop', event: 'bought' })
  const newest = async () => (await read(server, 'dead-letters?project=shop')).letters[0]
  letter = (await until(newest, { timeoutMs: 30_000, what: 'the dead letter' })).uuid
  writeFileSync(join(folder.path, 'repaired.json'), JSON.stringify(event))
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

async function run(part: string, options = '') {
  const found = commands.filter((line) => line.includes(part))
  expect(found).toHaveLength(1)
  asked.add(found[0]!)
  const command = found[0]!
    .replace('7b1f02c4-2s', stored)
    .replace('01a22618-0b2d-707e-9422-0558fc885ccd', letter)
    .replace('repaired.json', join(folder.path, 'repaired.json'))
    .replace('http://127.0.0.1:3000', server.url)
  const child = Bun.spawn(['sh', '-c', command + options], {
    cwd: root,
    env: {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      ...{ SPILLWAY_URL: server.url, ADMIN_TOKEN: 'a-token-of-this-test', UUID: stored },
    },
    ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { exitCode: await child.exited, output, errors }
}

test('trace, by command and by curl', async () => {
  expect(await run('bun run trace')).toMatchObject({
    exitCode: 0,
    output: expect.stringContaining('STORED capture'),
  })
  const { output } = await run('console/api/trace')
  expect((JSON.parse(output) as Document).events[0]).toMatchObject({ outcome: 'stored' })
}, 30_000)

test('tail shows a rejected event', async () => {
  // The command has no end of its own.
  const tailing = run('bun run tail', ' --count 1')
  const send = () => post(`${server.url}/e`, { api_key: 'shop', distinct_id: 'ada' })
  const sending = setInterval(() => void send().catch(() => {}), 100)
  const { output } = await tailing.finally(() => clearInterval(sending))
  expect(output).toContain('missing_event_name')
}, 60_000)

test('dead letters are listed, shown and sent again', async () => {
  expect((await run('dead-letters groups')).output).toContain('missing_distinct_id in shop')
  expect((await run('dead-letters list')).output).toContain(letter)
  expect((await run('dead-letters show')).output).toContain('missing_distinct_id')
  expect(await run('--event repaired.json')).toMatchObject({
    exitCode: 0,
    output: expect.stringContaining('stored'),
  })
  expect((await run('--all --project shop --dry-run')).output).toContain('dry run')
}, 60_000)

test('every command is run', () => {
  expect(commands.filter((line) => !asked.has(line))).toEqual([])
})
