import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requireCommand } from '../services/install.ts'
import { firstToken } from '../services/platform/support.ts'
import { blocksOf, root } from '../support/documents.ts'
import { temporaryFolder } from '../support/folder.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'
import { startChromium } from './chromium.ts'
import { requireJavaClients, requirePythonClients } from './sdks/install.ts'

/** Runs the code of docs/clients.md and docs/realtime.md, each with a token of its own. */
setDefaultTimeout(300_000)

const snippets = ['ts', 'python', 'go', 'java'].flatMap((language) => [
  ...blocksOf('docs/clients.md', language),
  ...blocksOf('docs/realtime.md', language),
])
const asked = new Set<string>()

/** The code that contains `part`, with the address of the server and `token`. */
function snippet(part: string, token = ''): string {
  const found = snippets.filter((text) => text.includes(part))
  expect(found).toHaveLength(1)
  asked.add(found[0]!)
  return found[0]!
    .replaceAll('http://127.0.0.1:3000', server.url)
    .replaceAll('phc_my_project', token)
}

const folder = temporaryFolder()
let server: Spillway
beforeAll(async () => {
  // So that code in the folder finds the packages of the repository.
  symlinkSync(join(root, 'node_modules'), join(folder.path, 'node_modules'))
  server = await startSpillway()
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

/** Writes the code into a file and runs it. */
async function run(path: string, text: string, command: readonly string[], environment = {}) {
  const file = join(folder.path, path)
  writeFileSync(file, text)
  const child = Bun.spawn([...command, file], {
    ...{ cwd: folder.path, env: { ...process.env, ...environment } },
    ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  expect({ exitCode: await child.exited, errors }).toMatchObject({ exitCode: 0 })
  return output
}

async function expectStored(token: string): Promise<void> {
  const sql = `SELECT distinct_id, JSONExtractString(properties, 'plan') AS plan FROM events
    WHERE project = '${token}' AND event = 'signed_up'`
  const rows = await until(
    async () => {
      const found = await server.query<{ distinct_id: string; plan: string }>(sql)
      return found.length > 0 && found
    },
    { timeoutMs: 30_000, what: `the event of ${token}` },
  )
  expect(rows).toMatchObject([{ plan: 'scale' }])
}

test('posthog-node', async () => {
  const code = snippet('posthog-node', 'phc_doc_node')
  await run('node.ts', code, [process.execPath])
  await expectStored('phc_doc_node')
})

test('posthog-python', async () => {
  const packages = await requirePythonClients(['posthog==7.91.1'])
  const code = snippet('Posthog(', 'phc_doc_python')
  await run('example.py', code, ['python3'], { PYTHONPATH: packages })
  await expectStored('phc_doc_python')
})

test('posthog-go', async () => {
  await requireCommand('go', 'golang-go')
  const module = join(folder.path, 'go')
  mkdirSync(module)
  for (const name of ['go.mod', 'go.sum'])
    cpSync(join(import.meta.dir, 'sdks/go', name), join(module, name))
  writeFileSync(join(module, 'main.go'), snippet('posthog-go', 'phc_doc_go'))
  const build = Bun.spawn(['go', 'run', '.'], { cwd: module, stdout: 'inherit', stderr: 'inherit' })
  expect(await build.exited).toBe(0)
  await expectStored('phc_doc_go')
})

test('posthog-server for Java', async () => {
  const jars = await requireJavaClients()
  const code = snippet('PostHogConfig.builder', 'phc_doc_java')
  await run('Example.java', code, ['java', '-cp', `${jars}/*`])
  await expectStored('phc_doc_java')
})

/** Code of a page, bundled as an application does it, in Chromium. */
async function openWith(code: string) {
  const entry = join(folder.path, 'page.ts')
  writeFileSync(entry, code)
  const built = await Bun.build({ entrypoints: [entry], target: 'browser' })
  const script = await built.outputs[0]!.text()
  const site = Bun.serve({
    ...{ port: 0, hostname: '127.0.0.1' },
    fetch: ({ url }) =>
      url.endsWith('/page.js')
        ? new Response(script, { headers: { 'content-type': 'text/javascript' } })
        : new Response('<!doctype html><title>Shop</title><script src="/page.js"></script>', {
            headers: { 'content-type': 'text/html' },
          }),
  })
  const browser = await startChromium()
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${site.port}`)
  return {
    async [Symbol.asyncDispose]() {
      await browser.close()
      await site.stop(true)
    },
  }
}

test('posthog-js', async () => {
  // The SDK takes a headless browser for a robot.
  const code = snippet("from 'posthog-js'", 'phc_doc_js').replace(
    `api_host: '${server.url}'`,
    `api_host: '${server.url}', opt_out_useragent_filter: true`,
  )
  await using _page = await openWith(code)
  await expectStored('phc_doc_js')
})

test('a beacon of link tracking', async () => {
  await using _page = await openWith(snippet('sendBeacon'))
  const sql = `SELECT event_type, project_id FROM link_events`
  const rows = await until(
    async () => {
      const found = await server.query(sql)
      return found.length > 0 && found
    },
    { timeoutMs: 30_000, what: 'the beacon' },
  )
  expect(rows).toEqual([{ event_type: 'click', project_id: 'shop' }])
})

test('two terminals that publish and subscribe', async () => {
  const { access_token } = await firstToken(server)
  writeFileSync(join(folder.path, 'realtime.ts'), snippet('socket.io-client'))
  const environment = { ...process.env, TOKEN: access_token }
  const start = () =>
    Bun.spawn([process.execPath, join(folder.path, 'realtime.ts')], {
      ...{ env: environment, stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' },
    })
  const first = start()
  let printed = ''
  const reading = (async () => {
    for await (const part of first.stdout.pipeThrough(new TextDecoderStream())) printed += part
  })()
  await until(() => printed.includes('ack m2 success'), { timeoutMs: 30_000, what: 'an ack' })
  const second = start()
  const message = 'public:news {\n  hello: "world",\n} first-client\n'
  await until(() => printed.includes(message), { timeoutMs: 30_000, what: 'the message' })
  for (const child of [first, second]) child.kill()
  await Promise.all([reading, first.exited, second.exited])
})

test('every snippet is run', () => {
  expect(snippets.filter((text) => !asked.has(text))).toEqual([])
})
