import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { blocksOf, root } from '../../support/documents.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { freePort } from '../../support/port.ts'
import { startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type S3Service, startS3 } from '../s3.ts'
import { shared } from '../shared.ts'

/** Runs the commands of docs/archive.md and docs/privacy.md in the root of the repository. */
setDefaultTimeout(180_000)

const blocks = ['docs/archive.md', 'docs/privacy.md'].flatMap((path) => blocksOf(path, 'sh'))
const asked = new Set<string>()

/** The commands of the block that contains `part`, and what they print. */
function linesOf(part: string) {
  const found = blocks.filter((text) => text.includes(part))
  expect(found).toHaveLength(1)
  asked.add(found[0]!)
  const lines = found[0]!.trim().split('\n')
  const printed = lines.filter((line) => line.startsWith('# ')).map((line) => line.slice(2))
  return { commands: lines.filter((line) => !line.startsWith('#')), printed }
}

function start(command: string, environment: Record<string, string>) {
  const path = `${dirname(process.execPath)}:${process.env.PATH}`
  return Bun.spawn(['sh', '-c', `exec ${command.replace(/^((?:[A-Z_]+=\S+ )+)/, 'env $1')}`], {
    ...{ cwd: root, env: { PATH: path, HOME: process.env.HOME ?? '', ...environment } },
    ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  })
}

async function run(command: string, environment: Record<string, string>) {
  const child = start(command, environment)
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  // `bun run` repeats the command in front of its output.
  return { exitCode: await child.exited, output, errors }
}

let s3: S3Service
let folder: ReturnType<typeof temporaryFolder>
beforeAll(async () => {
  s3 = await startS3('my-bucket')
  folder = temporaryFolder()
  mkdirSync(join(folder.path, 'archive'))
}, 180_000)
afterAll(async () => {
  await s3.stop()
  folder[Symbol.dispose]()
})

const inTest = (command: string) => command.replace('/mnt/archive', join(folder.path, 'archive'))

test('a server starts with an archive in S3, and with one in a folder', async () => {
  const { commands } = linesOf('bun run start')
  expect(commands).toHaveLength(2)
  for (const [index, command] of commands.entries()) {
    const port = freePort()
    const child = start(inTest(command), {
      ...s3.environment,
      ...{ PORT: String(port), DATA_DIR: join(folder.path, `data-${index}`), SINKS: 'archive' },
    })
    try {
      const isUp = async () => {
        const reply = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined)
        return (await reply?.text())?.includes('spillway_sink_up{sink="archive"} 1')
      }
      await until(isUp, { timeoutMs: 60_000, what: command })
    } finally {
      child.kill()
      await child.exited
    }
  }
})

/** `clickhouse got 1204332` as an expression. */
const toShape = (line: string) =>
  new RegExp(`^${line.replace(/, kafka.*/, '').replace(/\d+/g, '\\d+')}`, 'm')

test('a replay prints what the page shows', async () => {
  const { commands, printed } = linesOf('--to 2026-11-29')
  const archive = join(folder.path, 'archive')
  const environment = { ARCHIVE: archive, DATA_DIR: join(folder.path, 'data') }
  const { exitCode, output } = await run(commands[0]!, environment)
  expect(exitCode).toBe(0)
  expect(output).toMatch(toShape(printed[0]!))
})

test('a replay fills a topic', async () => {
  const { commands } = linesOf('--sink kafka')
  const environment = {
    ...{ ARCHIVE: join(folder.path, 'archive'), DATA_DIR: join(folder.path, 'data') },
    ...{ KAFKA_BROKERS: (await shared.kafka()).join(',') },
  }
  expect(await run(commands[0]!, environment)).toMatchObject({ exitCode: 0 })
})

test('a person is deleted as the page shows', async () => {
  const { commands, printed } = linesOf('bun run forget')
  await using server = await startSpillway()
  const batch = ['a', 'b'].map((event) => ({ event, distinct_id: 'user-1' }))
  const body = JSON.stringify({ api_key: 'phc_shop', batch })
  expect((await fetch(`${server.url}/batch/`, { method: 'POST', body })).status).toBe(200)
  const { exitCode, output } = await run(commands[0]!, { SPILLWAY_URL: server.url })
  expect({ exitCode, lines: output.trim().split('\n') }).toEqual({ exitCode: 0, lines: printed })
})

test('every block is run', () => {
  expect(blocks.filter((text) => !asked.has(text))).toEqual([])
})
