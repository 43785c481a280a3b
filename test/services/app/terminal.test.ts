import { expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { temporaryFolder } from '../../support/folder.ts'
import { freePorts } from '../../support/port.ts'
import { until } from '../../support/until.ts'

setDefaultTimeout(90_000)

const root = join(import.meta.dir, '../../..')
const path = `${dirname(process.execPath)}:${process.env.PATH}`

/** A command in a pseudo-terminal, with the defaults of a newcomer but for ports and folder. */
async function startInTerminal(
  settings: Record<string, string> = {},
  { command = ['bun', 'run', 'start'], cwd = root } = {},
) {
  const folder = temporaryFolder()
  const [port, queryPort] = await freePorts(2)
  let shown = ''
  const decoder = new TextDecoder()
  const child = Bun.spawn(command, {
    cwd,
    env: {
      ...{ PATH: path, HOME: process.env.HOME, TERM: 'xterm-256color' },
      ...{ PORT: String(port), EMBEDDED_CLICKHOUSE_PORT: String(queryPort) },
      ...{ DATA_DIR: join(folder.path, 'data'), ...settings },
    },
    terminal: {
      cols: 200,
      data: (_, bytes) => {
        shown += decoder.decode(bytes, { stream: true })
      },
    },
  })
  const text = () => stripVTControlCharacters(shown).replaceAll('\r', '')
  return {
    ...{ child, port, queryPort, text, raw: () => shown },
    type: (keys: string) => child.terminal?.write(keys),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await child.exited
      child.terminal?.close()
      folder[Symbol.dispose]()
    },
  }
}

/** The command in the introduction after this label. */
function commandOf(text: string, label: string): string {
  return new RegExp(`^  ${label} +(.*)$`, 'm').exec(text)?.[1] ?? ''
}

function runShell(command: string): string {
  return Bun.spawnSync(['sh', '-c', command], { env: { PATH: path } }).stdout.toString()
}

test('a start in a terminal shows commands that work as they are, then readable lines', async () => {
  await using running = await startInTerminal()
  const { text } = running
  await until(() => text().includes('Ctrl-C'), { timeoutMs: 60_000, what: 'the introduction' })

  expect(JSON.parse(runShell(commandOf(text(), 'Send an event')))).toEqual({
    code: 1,
    status: 'ok',
  })
  const query = commandOf(text(), 'Query')
  const stored = await until(() => runShell(query), { what: 'the event' })
  expect(stored).toMatch(/^\d{4}-\d\d-\d\d [\d:.]+\thello\tuser-1\n$/)
  const page = await fetch(commandOf(text(), 'Console'))
  expect(page.status).toBe(200)
  await page.body?.cancel()

  await until(() => text().includes('POST /e 200'), { what: 'the access line' })
  running.type('\u0003')
  expect(await running.child.exited).toBe(0)
  const lines = text().split('\n').filter(Boolean)
  // The shell's echo of the command, of Ctrl-C, the introduction, and log lines.
  const isLog = /^(?:\^C)?\d\d:\d\d:\d\d\.\d{3} (?:info |warn ) \S/
  const isOther = /^(?:\$ sh src\/start\.sh|\^C|Spillway [\d.]+ is ready| {2}[A-Z])/
  expect(lines.filter((line) => !isLog.test(line) && !isOther.test(line))).toEqual([])
  expect(lines.at(-1)).toContain('stopped; 0 events undelivered')
  expect(text()).not.toMatch(/fatal/i)
})

/** What git holds, as in a fresh clone, but with changes that are not committed. */
function copyRepository(into: string): void {
  const copy = `git ls-files -z | tar -cf - --null -T - | tar -xf - -C "$INTO"`
  const env = { PATH: path, INTO: into }
  expect(Bun.spawnSync(['sh', '-c', copy], { cwd: root, env }).exitCode).toBe(0)
}

/** README.md explains these two notes of `bun install`. */
const explained = [/warn: skipping \S+: unsupported platform/, /Blocked 2 postinstalls\./]

test.if(existsSync(join(root, '.git')))(
  'from a clone to the first queried event in four commands, without an unexplained warning',
  async () => {
    using folder = temporaryFolder()
    const startedMs = performance.now()
    // Command 1, `git clone`.
    copyRepository(folder.path)
    // Command 2, as README.md has it. npx would only fetch the Bun that runs this test.
    const command = ['sh', '-c', 'bun install && exec bun run start']
    await using running = await startInTerminal({}, { command, cwd: folder.path })
    const { text } = running
    await until(() => text().includes('Ctrl-C'), { timeoutMs: 80_000, what: 'the introduction' })
    // Commands 3 and 4.
    expect(runShell(commandOf(text(), 'Send an event'))).toContain('ok')
    const query = commandOf(text(), 'Query')
    expect(await until(() => runShell(query), { what: 'the first answer' })).not.toContain('Code:')
    await until(() => runShell(query).includes('hello'), { what: 'the event' })
    console.log(`from clone to query: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)

    running.type('\u0003')
    expect(await running.child.exited).toBe(0)
    const warnings = text()
      .split('\n')
      .filter((line) => /fatal|error|warn|blocked/i.test(line))
      .filter((line) => !explained.some((known) => known.test(line)))
      // It says what to do.
      .filter((line) => !line.includes('allow at least 65536 (ulimit -n)'))
    expect(warnings).toEqual([])
  },
)

test('JSON lines and no introduction in a terminal with LOG_FORMAT=json', async () => {
  await using running = await startInTerminal({ LOG_FORMAT: 'json', EMBEDDED_CLICKHOUSE_PORT: '0' })
  await until(() => running.text().includes('"msg":"ready"'), {
    what: 'the server',
    timeoutMs: 60_000,
  })
  running.type('\u0003')
  expect(await running.child.exited).toBe(0)
  const lines = running.text().split('\n').filter(Boolean).slice(1)
  expect(
    lines
      .map((line) => line.replace('^C', ''))
      .filter(Boolean)
      .map(toMessage),
  ).toContain('stopping')
})

const toMessage = (line: string) => (JSON.parse(line) as { msg: string }).msg

test('text lines without colours in a file with LOG_FORMAT=text', async () => {
  using folder = temporaryFolder()
  const logPath = join(folder.path, 'log')
  const child = Bun.spawn(['sh', 'src/start.sh'], {
    cwd: root,
    env: {
      ...{ PATH: path, PORT: '0', EMBEDDED_CLICKHOUSE_PORT: '0', LOG_FORMAT: 'text' },
      ...{ DATA_DIR: join(folder.path, 'data'), DURABILITY: 'memory' },
    },
    stdin: 'ignore',
    stdout: Bun.file(logPath),
    stderr: Bun.file(logPath),
  })
  try {
    const read = () => Bun.file(logPath).text()
    await until(async () => (await read()).includes('Ctrl-C'), {
      timeoutMs: 60_000,
      what: 'the server',
    })
    expect(await read()).toContain(' warn  DURABILITY=memory: a crash loses events\n')
    expect(await read()).not.toContain('\u001b')
  } finally {
    child.kill('SIGKILL')
    await child.exited
  }
})
