import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { freePort } from '../../support/port.ts'
import { until } from '../../support/until.ts'

setDefaultTimeout(120_000)

const start = join(import.meta.dir, '../../../src/start.sh')

function toEnvironment(dataDir: string) {
  const [port, queryPort] = [freePort(), freePort()]
  return {
    url: `http://127.0.0.1:${port}`,
    queryUrl: `http://127.0.0.1:${queryPort}`,
    env: {
      PATH: process.env.PATH ?? '',
      PORT: String(port),
      HOST: '127.0.0.1',
      DATA_DIR: dataDir,
      EMBEDDED_CLICKHOUSE_PORT: String(queryPort),
      CLICKHOUSE_FLUSH_MS: '50',
    },
  }
}

test('answers 503 in ClickHouse’s words until queries can run, and refuses no connection', async () => {
  using folder = temporaryFolder()
  const { env, queryUrl } = toEnvironment(join(folder.path, 'data'))
  await using server = Bun.spawn(['sh', start], { env, stdout: 'ignore', stderr: 'ignore' })
  const answers: { status: number; text: string; retryAfter: string | null }[] = []
  const ask = async () => {
    const reply = await fetch(queryUrl, { method: 'POST', body: 'SELECT 1' })
    const retryAfter = reply.headers.get('retry-after')
    answers.push({ status: reply.status, text: await reply.text(), retryAfter })
    return reply.status === 200
  }
  await until(
    () =>
      ask()
        .then(() => true)
        .catch(() => false),
    { what: 'the open port', pauseMs: 1 },
  )
  // From now on every request gets a reply.
  await until(ask, { timeoutMs: 60_000, pauseMs: 5 })
  expect(answers[0]).toEqual({
    status: 503,
    text: expect.stringMatching(/^Code: 236\. DB::Exception: .* is starting; .*\(ABORTED\)/),
    retryAfter: '1',
  })
  expect(answers.at(-1)?.text).toBe('1\n')
  server.kill('SIGTERM')
  await server.exited
})

test('prints nothing of the embedded ClickHouse to a terminal', async () => {
  using folder = temporaryFolder()
  const { env, url, queryUrl } = toEnvironment(join(folder.path, 'data'))
  const screen = join(folder.path, 'screen')
  // `script` gives the server a terminal; its standard input stays open.
  const command = ['script', '-qefc', `sh ${start}`, screen]
  await using server = Bun.spawn(command, { env, stdin: 'pipe', stdout: 'ignore' })
  const isReady = () =>
    fetch(`${url}/_readiness`).then(
      (reply) => reply.ok,
      () => false,
    )
  await until(isReady, { timeoutMs: 60_000, what: 'the server' })
  const count = async () => {
    const sql = 'SELECT count() FROM events'
    return Number(await (await fetch(queryUrl, { method: 'POST', body: sql })).text())
  }
  for (const at of [1, 2, 3]) {
    const body = JSON.stringify({ api_key: 'phc_x', event: `e${at}`, distinct_id: 'd' })
    await fetch(`${url}/i/v0/e/`, { method: 'POST', body })
    await until(async () => (await count()) === at, { timeoutMs: 60_000, what: 'the insert' })
  }
  const text = readFileSync(screen, 'utf8')
  expect(text).toContain('info  ready')
  expect(text).not.toContain('<Fatal>')
  expect(text).not.toContain('ThreadStatus')
  server.kill('SIGTERM')
  await server.exited
})
