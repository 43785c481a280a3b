import { afterEach, describe, expect, test } from 'bun:test'
import { temporaryFolder } from '../../support/folder.ts'
import { query } from './query-servers.ts'

const started: Bun.Subprocess[] = []
afterEach(async () => {
  for (const server of started.splice(0)) {
    server.kill('SIGTERM')
    await server.exited
  }
})

/** Starts `bun run clickhouse` and awaits its first line. */
async function start(...options: string[]) {
  const command = [process.execPath, 'src/cli/clickhouse.ts', ...options]
  const server = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe' })
  started.push(server)
  const reader = server.stdout.getReader()
  const line = new TextDecoder().decode((await reader.read()).value)
  return { server, line, url: line.trim().replace(/^clickhouse /, '') }
}

test('prints its address, replies there, and ends on SIGTERM and SIGINT', async () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const { server, line, url } = await start('--port', '0')
    expect(line).toMatch(/^clickhouse http:\/\/127\.0\.0\.1:\d+\n$/)
    expect((await query(url, 'SELECT 1')).text).toBe('1\n')
    server.kill(signal)
    expect(await server.exited).toBe(0)
  }
})

test('ends while a query runs', async () => {
  const { server, url } = await start('--port', '0')
  const sql = 'SELECT sum(cityHash64(number)) FROM system.numbers'
  const running = query(url, sql).catch((error: Error) => error)
  expect((await query(url, 'SELECT 1')).text).toBe('1\n')
  server.kill('SIGTERM')
  expect(await server.exited).toBe(0)
  await running
})

test('keeps acknowledged rows after kill -9', async () => {
  using folder = temporaryFolder()
  const first = await start('--port', '0', '--path', folder.path)
  await query(first.url, 'CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a')
  for (let i = 0; i < 20; i += 1) await query(first.url, `INSERT INTO t VALUES (${i})`)
  first.server.kill('SIGKILL')
  await first.server.exited
  const second = await start('--port', '0', '--path', folder.path)
  expect((await query(second.url, 'SELECT count(), sum(a) FROM t')).text).toBe('20\t190\n')
})

test('requires its user and password', async () => {
  const { url } = await start('--port', '0', '--user', 'events', '--password', 'secret')
  const basic = (user: string) => ({ headers: { authorization: `Basic ${btoa(user)}` } })
  expect((await query(url, 'SELECT 1', basic('events:secret'))).status).toBe(200)
  expect((await query(url, 'SELECT 1', basic('events:wrong'))).status).toBe(403)
  expect((await query(url, 'SELECT 1')).status).toBe(403)
})

describe('ends with an error text if', () => {
  const end = async (...options: string[]) => {
    const { server } = await start(...options)
    return { errors: await new Response(server.stderr).text(), exitCode: await server.exited }
  }
  const complain = async (...options: string[]) => {
    const { errors, exitCode } = await end(...options)
    expect(exitCode).toBe(1)
    return errors
  }

  test('the port is taken', async () => {
    using taken = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    expect(await complain('--port', String(taken.port))).toContain(String(taken.port))
  })

  test('another process uses the folder', async () => {
    using folder = temporaryFolder()
    await start('--port', '0', '--path', folder.path)
    expect(await complain('--port', '0', '--path', folder.path)).toContain(folder.path)
  })

  test.each([[['--port', 'none']], [['--port', '70000']], [['--prot', '0']], [['stray']]])(
    'the options are %p',
    async (options) => {
      const { errors, exitCode } = await end(...options)
      expect(errors).toMatch(/^[^\n]*(port|prot|stray)[^\n]*\n\nusage: /)
      expect(exitCode).toBe(64)
    },
  )
})
