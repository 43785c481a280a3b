import { afterAll, beforeAll, expect, test } from 'bun:test'
import { dirname, join } from 'node:path'
import { blocksOf, root } from '../../support/documents.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'

/** Runs the commands of docs/walkthrough.md, docs/journal.md and CONTRIBUTING.md on a server of this test. */
let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, 60_000)
afterAll(async () => await server?.[Symbol.asyncDispose]())

/** The block of a document that contains `part`, with the addresses and the folder of the server. */
function command(document: string, part: string): string {
  const [found, ...others] = blocksOf(document, 'sh').filter((text) => text.includes(part))
  expect(others).toEqual([])
  return found!
    .replace('http://127.0.0.1:3000', server.url)
    .replace('http://127.0.0.1:8123', server.queryUrl)
    .replace(/ data\/journal/, ` ${join(server.dataDir, 'journal')}`)
}

async function run(text: string): Promise<string> {
  const path = `${dirname(process.execPath)}:${process.env.PATH}`
  const child = Bun.spawn(['sh', '-c', text], {
    ...{ cwd: root, env: { PATH: path }, stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' },
  })
  return await child.stdout.text()
}

test('the walkthrough sends its event and finds it', async () => {
  expect(await run(command('docs/walkthrough.md', '/e/'))).toBe('{"code":1,"status":"ok"}')
  const query = command('docs/walkthrough.md', ':8123')
  await until(async () => (await run(query)) === 'signed_up\tuser-1\n', { what: 'the event' })
  expect(query).toContain('# signed_up\tuser-1')
})

test('the journal can be read by hand, by segment and as a whole', async () => {
  const segment = await run(command('docs/journal.md', 'createScanner'))
  expect(segment).toContain('valid {')
  expect(segment).toMatch(/^frame 1 at byte \d+\n0 event signed_up$/m)
  // The reader of all records needs a server that has stopped.
  await server.stop()
  const records = await run(command('CONTRIBUTING.md', 'openReader'))
  expect(records).toStartWith('0 event {"uuid":"')
})
