import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { type ChildProcess, spawn } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { requireCommand } from '../services/install.ts'
import { blocksOf, root } from '../support/documents.ts'
import { temporaryFolder } from '../support/folder.ts'
import { logLines } from '../support/log-lines.ts'
import { freePorts } from '../support/port.ts'
import { until } from '../support/until.ts'

/**
 * Runs the commands of these documents as a person does who has Node.js and no Bun: in a fresh copy of
 * the repository, with a PATH that has no `bun`, through the function `bun` that README.md defines.
 */
setDefaultTimeout(240_000)

const documents = [
  'README.md',
  ...['clients', 'metrics', 'projects', 'realtime', 'security', 'settings', 'sizing'].map(
    (name) => `docs/${name}.md`,
  ),
]
/** Two documents may show the same block. */
const blocks = [...new Set(documents.flatMap((path) => blocksOf(path, 'sh')))]

/** The block that contains `part`. Each block must be asked for by a test. */
function block(part: string): string {
  const found = blocks.filter((text) => text.includes(part))
  expect(found).toHaveLength(1)
  asked.add(found[0]!)
  return found[0]!
}
const asked = new Set<string>()

/** Everything that the commands need. `bun` is not among it. */
const commands = [
  ...['node', 'npm', 'npx', 'sh', 'env', 'curl', 'sed', 'cat', 'dirname', 'uname', 'openssl'],
  ...['cp', 'mkdir', 'rm', 'ls', 'chmod', 'grep'],
]

let folder: ReturnType<typeof temporaryFolder>
let home: string
let port: number
let environment: Record<string, string>
beforeAll(async () => {
  for (const [command, debianPackage] of [
    ...[['node', 'nodejs'] as const, ['npx', 'npm'] as const],
    ...[['curl', 'curl'] as const, ['openssl', 'openssl'] as const],
  ])
    await requireCommand(command, debianPackage)
  folder = temporaryFolder()
  const path = join(folder.path, 'bin')
  mkdirSync(path)
  for (const command of commands) symlinkSync(Bun.which(command)!, join(path, command))
  home = join(folder.path, 'spillway')
  const copied = ['package.json', 'bun.lock', 'bunfig.toml', 'tsconfig.json', 'src']
  for (const name of [...copied, 'test/run.sh', smallTest]) copy(name)
  const ports = await freePorts(2)
  port = ports[0]!
  environment = {
    PATH: path,
    HOME: process.env.HOME ?? '',
    PORT: String(port),
    EMBEDDED_CLICKHOUSE_PORT: String(ports[1]),
    CLICKHOUSE_FLUSH_MS: '100',
  }
})
afterAll(async () => {
  await stop()
  folder?.[Symbol.dispose]()
})

const smallTest = 'test/unit/core/token.test.ts'

function copy(name: string): void {
  mkdirSync(dirname(join(home, name)), { recursive: true })
  cpSync(join(root, name), join(home, name), { recursive: true })
}

/** With the ports of this test. */
const toOwn = (text: string) =>
  text
    .replaceAll(/(127\.0\.0\.1|localhost):3000/g, `$1:${port}`)
    .replaceAll('127.0.0.1:8123', `127.0.0.1:${environment.EMBEDDED_CLICKHOUSE_PORT}`)

const bunFunction = () => block('bun() {')

async function run(text: string): Promise<{ exitCode: number | null; output: string }> {
  const script = `${bunFunction()}\n${toOwn(text)}`
  const child = Bun.spawn(['sh', '-c', script], {
    ...{ cwd: home, env: environment, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { exitCode: await child.exited, output: output + errors }
}

/** What the comments of a block say that its commands print. `…` stands for any text. */
function toExpected(text: string): RegExp {
  const lines = text.split('\n').flatMap((line) => (/^# ?(.*)$/.exec(line) ?? []).slice(1))
  const anyTime = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`
  const pattern = lines
    .sort()
    .map((line) => line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*'))
    .map((line) => line.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\\\.\d{3}/, anyTime))
  return new RegExp(`^${pattern.join('\n')}$`)
}

/** Rows have no order, so lines are compared sorted. */
const toSorted = (output: string) =>
  output
    .split('\n')
    .filter((line) => line !== '')
    .sort()
    .join('\n')

async function expectPrinted(text: string): Promise<void> {
  const expected = toExpected(text)
  let printed = ''
  // An event is in ClickHouse a moment after its reply.
  const isPrinted = async () => {
    printed = toSorted((await run(text)).output)
    return expected.test(printed)
  }
  await until(isPrinted, { timeoutMs: 30_000, pauseMs: 200, what: 'the output' }).catch(() => {
    expect(printed).toMatch(expected)
  })
}

let server: ChildProcess | undefined
const log = () => readFileSync(join(folder.path, 'log'), 'utf8')

/** Starts the server by a block that does not end, and waits until it is ready. */
async function start(text: string, url = `http://127.0.0.1:${port}`): Promise<void> {
  writeFileSync(join(folder.path, 'log'), '')
  const output = openSync(join(folder.path, 'log'), 'a')
  // A group of its own, as a terminal makes one: Ctrl-C reaches all of its processes.
  server = spawn('sh', ['-c', `${bunFunction()}\n${toOwn(text)}`], {
    ...{ cwd: home, env: environment, detached: true, stdio: ['ignore', output, output] },
  })
  const isReady = async () => {
    if (server?.exitCode !== null) throw new Error(`the server ended:\n${log()}`)
    const options = { tls: { rejectUnauthorized: false } }
    return await fetch(`${url}/_readiness`, options).then(
      ({ ok }) => ok,
      () => false,
    )
  }
  await until(isReady, { timeoutMs: 120_000, pauseMs: 100, what: 'the server' })
}

/** As Ctrl-C: the shell may end before the server does, so all processes of the group are awaited. */
async function stop(): Promise<void> {
  const pid = server?.pid
  if (pid === undefined) return
  server = undefined
  if (isAlive(pid)) process.kill(-pid, 'SIGINT')
  await until(() => !isAlive(pid), { timeoutMs: 30_000, what: 'the end of the server' })
}

function isAlive(group: number): boolean {
  try {
    return process.kill(-group, 0)
  } catch {
    return false
  }
}

test('there is no bun on the PATH, and the function of README.md is one', async () => {
  const { output } = await run('unset -f bun; command -v bun || echo none')
  expect(output.trim()).toBe('none')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect((await run('bun run --silent start --version')).output).toContain(version)
})

test('the first command installs and starts', async () => {
  await start(block('the server on port 3000'))
})

test('the tests run', async () => {
  const tested = await run(`bun run test ${smallTest}`)
  expect(tested).toMatchObject({ exitCode: 0, output: expect.stringContaining(' 0 fail') })
})

test('the examples of all contracts print what the documents say', async () => {
  await expectPrinted(block('"properties": { "token": "phc_my_project"'))
  await expectPrinted(block('FORMAT Vertical'))
  await expectPrinted(block('"api_key": "phc_my_project"'))
  await expectPrinted(block('/api/events/track'))
  await expectPrinted(block('/v2/users/report/events'))
  await expectPrinted(block('/api/telemetry/events'))
  await expectPrinted(block('SELECT source, project, event, distinct_id'))
})

test('ClickHouse says how many bytes a row takes', async () => {
  const { output } = await run(block('bytes_a_row'))
  expect(output).toContain('bytes_a_row')
  expect(output).toMatch(/ link_events +│ +1 │ +\d+ │/)
})

test('the metrics explain themselves', async () => {
  const { output } = await run(block("grep '^# HELP'"))
  expect(output.split('\n').length).toBeGreaterThan(30)
  expect(output).toContain('# HELP spillway_events_received_total ')
})

test('the secret of the log gives a token', async () => {
  const client_secret = logLines({ log }).find((line) => 'client_secret' in line)?.client_secret
  const text = block('SECRET=…')
  const own = text.replace('SECRET=…', `SECRET='${client_secret}'`)
  await expectPrinted(own)
  await stop()
})

const captureShop = `curl -s http://127.0.0.1:3000/e -d '{"token":"phc_shop_web","event":"e","distinct_id":"u"}'`

test('the commands of production start it, with the projects file of docs/projects.md', async () => {
  const [toml = ''] = blocksOf('docs/projects.md', 'toml')
  const [, hash] = /# (echo 'backend-secret' .*)$/m.exec(toml) ?? []
  const { output } = await run(hash!)
  expect(output).toStartWith('$argon2id$')
  writeFileSync(
    join(home, 'projects.toml'),
    toml.replaceAll('$argon2id$…', () => output.trim()),
  )
  await start(block('NODE_ENV=production'))
  // Other users cannot read the signing keys, and git does not see them.
  expect(statSync(join(home, 'keys.json')).mode & 0o777).toBe(0o600)
  expect(readFileSync(join(root, '.gitignore'), 'utf8').split('\n')).toContain('/keys.json')
  expect((await run(captureShop)).output).toBe('{"code":1,"status":"ok"}')
  const token = `curl -s http://127.0.0.1:3000/api/auth/token -u backend:backend-secret -d grant_type=client_credentials`
  expect((await run(token)).output).toContain('access_token')
  await stop()
})

test('the projects file of README.md lists who may send', async () => {
  writeFileSync(join(home, 'projects.toml'), blocksOf('README.md', 'toml')[0]!)
  await start(block('NODE_ENV=production'))
  expect((await run(captureShop)).output).toBe('{"code":1,"status":"ok"}')
  const other = captureShop.replace('phc_shop_web', 'phc_other')
  expect((await run(other)).output).toContain('unknown_token')
  await stop()
})

test('the commands of TLS start and reach the server', async () => {
  const made = await run(
    'openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem',
  )
  expect(made.exitCode).toBe(0)
  const [first, second] = block('TLS_CERT_FILE').trimEnd().split('\n')
  await start(first!, `https://127.0.0.1:${port}`)
  expect((await run(second!)).exitCode).toBe(0)
  await stop()
})

test('the command behind a proxy starts it', async () => {
  await start(block('TRUSTED_PROXIES=127.0.0.1'))
  await stop()
})

test('a wrong setting is told', async () => {
  const text = block('PORT=abc')
  const { exitCode, output } = await run(text)
  expect(exitCode).not.toBe(0)
  expect(output).toContain('PORT "abc" is not an integer in 0..65535')
})

test('every block is run', () => {
  expect(blocks.filter((text) => !asked.has(text))).toEqual([])
})
