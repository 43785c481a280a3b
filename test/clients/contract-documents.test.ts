import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { requireCommand } from '../services/install.ts'
import { blocksOf, listFiles, readDocument } from '../support/documents.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'

setDefaultTimeout(60_000)

/** Runs every command of docs/contracts, and compares status and body with the block below it. */
const pages = listFiles('docs/contracts/*.md')
const examples = pages.flatMap((page) => {
  const found = readDocument(page).matchAll(/^```sh\n(.*?)^```\n```\n(\d{3}) (.*?)^```$/gms)
  return [...found].map(([, command = '', status = '', body = '']) => ({
    ...{ page, command, status: Number(status), body: body.trim() },
  }))
})

let server: Spillway
beforeAll(async () => {
  await requireCommand('curl', 'curl')
  server = await startSpillway()
})
afterAll(async () => await server?.[Symbol.asyncDispose]())

test('every command has a reply', () => {
  const commands = pages.flatMap((page) => blocksOf(page, 'sh'))
  expect(examples.map(({ command }) => command)).toEqual(commands)
})

test.each(examples)('$page: $command', async ({ command, status, body }) => {
  const here = command.replace('localhost:3000', new URL(server.url).host)
  const options = `-sS -w '\\n%{http_code}'`
  const child = Bun.spawn(['sh', '-c', here.replace(/^curl /, `curl ${options} `)], {
    ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' },
  })
  const printed = (await child.stdout.text()).trim().split('\n')
  expect(Number(printed.at(-1))).toBe(status)
  expect(JSON.parse(printed.slice(0, -1).join('\n'))).toEqual(JSON.parse(body))
})
