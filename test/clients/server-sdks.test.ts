import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { requireCommand } from '../services/install.ts'
import { firstToken } from '../services/platform/support.ts'
import { logLines } from '../support/log-lines.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import {
  requireGoClient,
  requireJavaClients,
  requireNpmClients,
  requirePythonClients,
} from './sdks/install.ts'
import { type ClientRun, runClient } from './sdks/run.ts'

/**
 * Client libraries as their vendors ship them, each in a process of its own. Every one sends events
 * and asks for feature flags. Each event must be stored once, and no error may be reported.
 */

const installMsMax = 300_000
const runMsMax = 60_000
const eventsPerRun = 50
const sdks = join(import.meta.dir, 'sdks')

let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
}, runMsMax)
afterAll(() => server?.[Symbol.asyncDispose]())

type Row = { event: string; properties: string }

/** The indexes of the events `ordered` that are stored, sorted, once there are enough. */
async function storedIndexes(token: string): Promise<number[]> {
  const sql = `SELECT event, properties FROM events WHERE project = '${token}' AND event = 'ordered'`
  let rows: Row[] = []
  const isComplete = async () => {
    rows = await server.query<Row>(sql)
    return rows.length >= eventsPerRun
  }
  await until(isComplete, { timeoutMs: 20_000, what: `${eventsPerRun} events of ${token}` })
  return rows.map((row) => JSON.parse(row.properties).index).sort((a, b) => a - b)
}

const allIndexes = Array.from({ length: eventsPerRun }, (_, index) => index)

/** The paths of all requests, by the access lines since the log had this many lines. */
const pathsSince = (count: number) =>
  new Set(
    logLines(server)
      .slice(count)
      .map(({ path }) => path),
  )

const eventPaths = { v0: '/batch', v1: '/i/v1/analytics/events' } as const
type Mode = keyof typeof eventPaths

async function expectStored(token: string, mode: Mode, client: ClientRun): Promise<unknown> {
  const logged = logLines(server).length
  const printed = await runClient(client)
  expect(await storedIndexes(token)).toEqual(allIndexes)
  // The log is written a moment after the reply.
  const path = eventPaths[mode]
  await until(() => pathsSince(logged).has(path), { what: `a request to ${path}` })
  // Events of vendors are stored as sent.
  const altered = `project = '${token}' AND JSONHas(properties, '$ingest_warnings')`
  expect(await server.query(`SELECT event, properties FROM events WHERE ${altered}`)).toEqual([])
  return printed
}

describe('posthog-node', () => {
  const versions = ['2.6.0', '4.18.0', '5.70.0']
  let folder: string
  beforeAll(async () => {
    await requireCommand('node', 'nodejs')
    folder = await requireNpmClients({ 'posthog-node': versions })
  }, installMsMax)

  test.each<[string, Mode]>([
    ...versions.map((one): [string, Mode] => [one, 'v0']),
    ['5.70.0', 'v1'],
  ])(
    '%s in mode %s',
    async (version, mode) => {
      const token = `phc_node_${version.replaceAll('.', '_')}_${mode}`
      const script = join(sdks, 'posthog-node.mjs')
      const name = `posthog-node-${version}`
      const command = ['node', script, folder, name, server.url, token, `${eventsPerRun}`]
      const environment = { POSTHOG_CAPTURE_MODE: mode }
      const printed = await expectStored(token, mode, { command, environment })
      expect((printed as { flag: unknown }).flag).toBeFalsy()
    },
    runMsMax,
  )
})

describe('posthog-python', () => {
  test.each<[string, Mode]>([
    ['3.25.0', 'v0'],
    ['7.91.1', 'v0'],
    ['7.91.1', 'v1'],
  ])(
    '%s in mode %s',
    async (version, mode) => {
      const folder = await requirePythonClients([`posthog==${version}`])
      const token = `phc_python_${version.replaceAll('.', '_')}_${mode}`
      const script = join(sdks, 'posthog_python.py')
      const command = [
        'python3',
        '-W',
        'ignore::DeprecationWarning',
        script,
        server.url,
        token,
        `${eventsPerRun}`,
      ]
      const environment = { PYTHONPATH: folder, POSTHOG_CAPTURE_MODE: mode }
      const printed = await expectStored(token, mode, { command, environment })
      expect(printed).toMatchObject({ errors: [] })
    },
    installMsMax,
  )
})

test(
  'posthog-go 1.5.2',
  async () => {
    const client = await requireGoClient()
    const token = 'phc_go'
    const command = [client, server.url, token, `${eventsPerRun}`]
    const printed = await expectStored(token, 'v0', { command })
    expect(printed).toEqual({ delivered: eventsPerRun + 1, failed: 0 })
  },
  installMsMax,
)

describe('Java', () => {
  test.each([
    ['posthog-server 2.3.3', 'Server'],
    ['posthog-java 1.2.0', 'Legacy'],
  ])(
    '%s',
    async (_, main) => {
      const jars = await requireJavaClients()
      const token = `phc_java_${main}`
      const source = join(sdks, 'java', `${main}.java`)
      const command = ['java', '-cp', `${jars}/*`, source, server.url, token, `${eventsPerRun}`]
      await expectStored(token, 'v0', { command })
    },
    installMsMax,
  )
})

test(
  'python-socketio 5.18.1 upgrades to websocket and exchanges messages',
  async () => {
    const folder = await requirePythonClients(['python-socketio[client]==5.18.1'])
    const { access_token } = await firstToken(server)
    const command = ['python3', join(sdks, 'socketio_client.py'), server.url, access_token]
    const printed = await runClient({ command, environment: { PYTHONPATH: folder } })
    expect(printed).toMatchObject({
      transport: 'websocket',
      message: { topic: 'public:news', payload: { hello: 'python' }, from: 'first-client' },
    })
  },
  installMsMax,
)

/** README.md of this folder lists what is tested and what is not. */
test.skip('posthog-rs 0.30.0: its 231 crates take 130 s of CPU time to build', () => {})
