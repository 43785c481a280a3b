import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Subprocess } from 'bun'
import { type ClickHouseService, startClickHouse } from '../services/clickhouse.ts'
import { temporaryFolder } from '../support/folder.ts'
import { freePort } from '../support/port.ts'
import { until } from '../support/until.ts'
import { findImageTool, type ImageTool } from './image-tool.ts'

const tool = findImageTool('spillway:test-slim')
const aloneTool = findImageTool('spillway:test')
if (!tool)
  console.warn(
    'The image is NOT tested: neither a container engine nor the build script is available.',
  )

type ImageConfig = {
  User: string
  Cmd: string[]
  Volumes: Record<string, object>
  Healthcheck: { Test: string[] }
}

const buildMsMax = 400_000
let clickhouse: ClickHouseService
let config: ImageConfig

async function run(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')}: ${errors.slice(-2000)}`)
  return output
}

/** The command of the image, with a signing key: production refuses to start without one. */
const withKeys = [
  'sh',
  '-c',
  'bun src/cli/make-key.ts --out /tmp/keys.json && AUTH_KEYS_FILE=/tmp/keys.json exec sh src/start.sh',
]

type Contained = { url: string; port: number; child: Subprocess; log(): string }

async function start(
  folder: string,
  environment: Record<string, string>,
  { image = tool!, command = withKeys }: { image?: ImageTool; command?: readonly string[] } = {},
): Promise<Contained> {
  const port = freePort()
  const path = join(folder, 'log.jsonl')
  const output = openSync(path, 'a')
  const settings = { PORT: String(port), HOST: '127.0.0.1', ...environment }
  const child = Bun.spawn(image.run(settings, command), {
    stdin: 'ignore',
    stdout: output,
    stderr: output,
  })
  closeSync(output)
  const url = `http://127.0.0.1:${port}`
  const log = () => readFileSync(path, 'utf8')
  const isReady = async () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${log()}`)
    return await fetch(`${url}/_readiness`).then(
      ({ ok }) => ok,
      () => false,
    )
  }
  await until(isReady, { timeoutMs: 60_000, what: 'the image being ready' })
  return { url, port, child, log }
}

describe.skipIf(!tool)('the image', () => {
  beforeAll(async () => {
    clickhouse = await startClickHouse()
    await run([...tool!.build, ...tool!.slim])
    config = JSON.parse(await run(tool!.inspect))
  }, buildMsMax)
  afterAll(async () => await clickhouse?.stop())

  test('runs without root and keeps its data in a volume', () => {
    expect(config.User).toBe('1000:1000')
    expect(Object.keys(config.Volumes)).toEqual(['/data'])
    expect(config.Cmd).toEqual(['sh', 'src/start.sh'])
  })

  test('stores events in a remote ClickHouse, reports health, serves the console, and loses nothing at a stop', async () => {
    using folder = temporaryFolder()
    // With a flush interval of one minute only the stop can have shipped the events.
    const environment = { CLICKHOUSE_URL: clickhouse.url, CLICKHOUSE_FLUSH_MS: '60000' }
    const { url, port, child, log } = await start(folder.path, environment)
    const names = Array.from({ length: 20 }, (_, index) => `event-${index}`)
    for (const event of names) {
      const body = JSON.stringify({ event, distinct_id: 'user', api_key: 'phc_image' })
      const response = await fetch(`${url}/e`, { method: 'POST', body })
      expect(await response.text()).toBe('{"code":1,"status":"ok"}')
    }
    expect(await isHealthy(port)).toBe(true)
    expect(ownerOf(port)).toBe(1000)
    for (const name of ['', '/page.js', '/page.css'])
      expect((await fetch(`${url}/console${name}`)).status).toBe(200)
    expect((await fetch(`${url}/console/api/session`)).status).toBe(401)

    child.kill('SIGTERM')
    expect(await child.exited).toBe(0)
    expect(log()).toContain('"reason":"SIGTERM"')
    const query = 'SELECT event FROM events ORDER BY length(event), event FORMAT TSV'
    const rows = await (await fetch(clickhouse.url, { method: 'POST', body: query })).text()
    expect(rows.trim().split('\n')).toEqual(names)
    expect(await isHealthy(port)).toBe(false)
  }, 120_000)

  test('runs alone, without any setting: takes events and answers queries', async () => {
    await run(aloneTool!.build)
    using folder = temporaryFolder()
    const queryPort = freePort()
    const { url, child } = await start(
      folder.path,
      { EMBEDDED_CLICKHOUSE_PORT: String(queryPort) },
      { image: aloneTool!, command: ['sh', 'src/start.sh'] },
    )
    const body = JSON.stringify({ event: 'alone', distinct_id: 'user', api_key: 'phc_image' })
    expect((await fetch(`${url}/e`, { method: 'POST', body })).status).toBe(200)
    const query = "SELECT event FROM events WHERE event = 'alone'"
    const ask = async () => {
      const reply = await fetch(`http://127.0.0.1:${queryPort}/`, { method: 'POST', body: query })
      return (await reply.text()).trim() === 'alone'
    }
    await until(() => ask().catch(() => false), { timeoutMs: 30_000, what: 'the row' })
    expect((await fetch(`${url}/api/auth/token`, { method: 'POST' })).status).toBe(503)
    child.kill('SIGTERM')
    expect(await child.exited).toBe(0)
  }, 600_000)

  test('without the embedded ClickHouse it asks for CLICKHOUSE_URL', async () => {
    using folder = temporaryFolder()
    const failing = start(folder.path, { DATA_DIR: '/data' })
    await expect(failing).rejects.toThrow('CLICKHOUSE_URL')
  }, 60_000)
})

/** Runs the image's health check on the host: the image uses the host's network. */
async function isHealthy(port: number): Promise<boolean> {
  const [, command, ...rest] = config.Healthcheck.Test
  expect(command).toBe('bun')
  const child = Bun.spawn([process.execPath, ...rest], {
    env: { PORT: String(port) },
    stderr: 'ignore',
  })
  return (await child.exited) === 0
}

/** The user id of the process that listens on the port. Source: proc(5), net/tcp. */
function ownerOf(port: number): number {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  const fields = lines.map((line) => line.trim().split(/\s+/))
  const listening = fields.find((line) => line[1] === address && line[3] === '0A')
  return Number(listening?.[7])
}
