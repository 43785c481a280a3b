import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { requireCommand } from '../services/install.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'

/** Runs the commands of docs/operating.md in the root of the repository. */
setDefaultTimeout(240_000)

const root = join(import.meta.dir, '../..')
const manual = readFileSync(join(root, 'docs/operating.md'), 'utf8')
const blocks = [...manual.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = '']) => text)

/** Blocks that no test runs as they are, by a part of their text. */
const others: readonly (readonly [part: string, reason: string])[] = [
  [
    'docker compose',
    'test/image runs the image; the query is run by test/services/console/cli.test.ts',
  ],
  ['systemctl', 'needs a running systemd; the check of the unit is run below'],
  ['kubectl', 'needs a cluster; test/deploy/manifests.test.ts checks the manifests'],
]
const run = new Set<string>()

/** The lines of the block that contains `part`: commands, and what they print. */
function linesOf(part: string) {
  const found = blocks.filter((text) => text.includes(part))
  expect(found).toHaveLength(1)
  run.add(found[0]!)
  const lines = found[0]!.trim().split('\n')
  return {
    commands: lines.filter((line) => !line.startsWith('#')),
    printed: lines.filter((line) => line.startsWith('# ')).map((line) => line.slice(2)),
  }
}

async function execute(command: string, environment: Record<string, string> = {}) {
  const path = `${dirname(process.execPath)}:${process.env.PATH}`
  const child = Bun.spawn(['sh', '-c', command], {
    ...{ cwd: root, env: { PATH: path, HOME: process.env.HOME ?? '', ...environment } },
    ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { exitCode: await child.exited, output: output + errors }
}

let server: Spillway
beforeAll(async () => {
  await requireCommand('promtool', 'prometheus')
  await requireCommand('systemd-analyze', 'systemd')
  server = await startSpillway()
})
afterAll(async () => await server?.[Symbol.asyncDispose]())

test('the check of the configuration prints what the manual shows', async () => {
  const { commands, printed } = linesOf('--check-config')
  const { exitCode, output } = await execute(commands[0]!, {
    ...{ JOURNAL_MAX_BYTES: '10GB', KAFKA_BROKER: 'a:1', DATA_DIR: server.dataDir },
  })
  expect(exitCode).toBe(78)
  for (const line of printed.filter((one) => /^(?:warning|fault):/.test(one)))
    expect(output).toContain(`${line}\n`)
})

test('the alert rules pass their own tool', async () => {
  const { commands } = linesOf('promtool')
  for (const command of commands) expect(await execute(command)).toMatchObject({ exitCode: 0 })
})

test('the unit passes the check that the manual names', async () => {
  const command = /^systemd-analyze .*$/m.exec(manual)?.[0]
  expect(await execute(command!)).toEqual({ exitCode: 0, output: '' })
})

test('the drain ends with the line that the manual shows', async () => {
  const { commands, printed } = linesOf('bun run drain')
  const body = JSON.stringify({ api_key: 'phc_manual', event: 'e', distinct_id: 'd' })
  expect((await fetch(`${server.url}/e/`, { method: 'POST', body })).status).toBe(200)
  const { exitCode, output } = await execute(commands[0]!, { SPILLWAY_URL: server.url })
  expect(exitCode).toBe(0)
  expect(output.split('\n')).toContain(printed.at(-1)!)
})

test('every block of commands is run, or is listed with the reason', () => {
  const missing = blocks.filter(
    (text) => !run.has(text) && !others.some(([part]) => text.includes(part)),
  )
  expect(missing).toEqual([])
})
