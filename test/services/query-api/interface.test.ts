import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import {
  createBlockDecompression,
  toCompressedBlocks,
} from '../../../src/embedded/query-api/wire/compressed-blocks.ts'
import { type QueryServers, query, startQueryServers } from './query-servers.ts'

let servers: QueryServers
beforeAll(async () => {
  servers = await startQueryServers()
  await query(servers.writable, 'CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a')
  await query(servers.writable, "INSERT INTO t VALUES (1, 'one'), (2, 'two')")
})
afterAll(() => servers.stop())

const get = (search: string, init?: RequestInit) => fetch(`${servers.readOnly}${search}`, init)

test.each([
  ['GET', 'ping', 200, 'Ok.\n'],
  ['GET', 'replicas_status', 200, 'Ok.\n'],
  ['GET', '', 200, 'Ok.\n'],
  ['GET', 'play', 404, 'There is no handle /play\n'],
  ['OPTIONS', '', 204, ''],
])('%s /%s', async (method, path, status, text) => {
  const reply = await get(path, { method })
  expect(reply.status).toBe(status)
  expect(await reply.text()).toBe(text)
})

describe('takes the statement from', () => {
  test.each([
    ['the URL', '?query=SELECT%201', { method: 'GET' }],
    ['the body', '', { method: 'POST', body: 'SELECT 1' }],
    ['the URL and the body', '?query=SELECT', { method: 'POST', body: '1' }],
    ['a gzipped body', '', gzipped('SELECT 1')],
    [
      'a body in zstd',
      '',
      {
        method: 'POST',
        body: zstdCompressSync('SELECT 1'),
        headers: { 'content-encoding': 'zstd' },
      },
    ],
    ['a form', '', { method: 'POST', body: toForm({ query: 'SELECT {x:UInt8}', param_x: '1' }) }],
    ['a statement with its semicolon', '', { method: 'POST', body: 'SELECT 1;' }],
  ])('%s', async (_, search, init) => {
    const reply = await get(search, init)
    expect(await reply.text()).toBe('1\n')
    expect(reply.status).toBe(200)
  })
})

describe('replies in the format of', () => {
  test.each([
    [
      'TabSeparated by default',
      {},
      'SELECT 1 AS x',
      'TabSeparated',
      'text/tab-separated-values; charset=UTF-8',
      '1\n',
    ],
    [
      'FORMAT',
      {},
      'SELECT 1 AS x FORMAT CSVWithNames',
      'CSVWithNames',
      'text/csv; charset=UTF-8; header=present',
      '"x"\n1\n',
    ],
    [
      'default_format',
      { default_format: 'JSONEachRow' },
      'SELECT 1 AS x',
      'JSONEachRow',
      'application/x-ndjson; charset=UTF-8',
      '{"x":1}\n',
    ],
    [
      'FORMAT before default_format',
      { default_format: 'JSON' },
      'SELECT 1 FORMAT TSV',
      'TSV',
      'text/tab-separated-values; charset=UTF-8',
      '1\n',
    ],
    [
      'SHOW',
      { default_format: 'JSONCompactEachRow' },
      'SHOW TABLES',
      'JSONCompactEachRow',
      'text/plain; charset=UTF-8',
      '["t"]\n',
    ],
    [
      'DESCRIBE',
      {},
      'DESCRIBE t FORMAT Values',
      'Values',
      'text/plain; charset=UTF-8',
      "('a','UInt64','','','','',''),('s','String','','','','','')",
    ],
    ['Null', {}, 'SELECT 1 FORMAT Null', 'Null', 'text/plain; charset=UTF-8', ''],
  ])('%s', async (_, search, sql, format, type, text) => {
    const answer = await query(servers.readOnly, sql, { search })
    expect(answer.text).toBe(text)
    expect(answer.headers.get('x-clickhouse-format')).toBe(format)
    expect(answer.headers.get('content-type')).toBe(type)
  })

  test('takes the format from the header', async () => {
    const headers = { 'x-clickhouse-format': 'JSONEachRow' }
    const answer = await query(servers.readOnly, 'SELECT 1 AS x', { headers })
    expect(answer.text).toBe('{"x":1}\n')
  })

  test('keeps totals, limits and statistics in one JSON document', async () => {
    const sql =
      'SELECT s, count() AS n FROM t GROUP BY s WITH TOTALS ORDER BY s LIMIT 1 FORMAT JSON'
    const document = JSON.parse((await query(servers.readOnly, sql)).text)
    expect(document).toMatchObject({
      data: [{ s: 'one', n: 1 }],
      totals: { s: '', n: 2 },
      rows: 1,
      rows_before_limit_at_least: 2,
      statistics: { rows_read: 2 },
    })
  })
})

describe('takes from the URL', () => {
  test.each([
    ['a typed parameter', { param_x: '7' }, 'SELECT {x:UInt8} + 1', '8\n'],
    ['quotes and escapes', { param_x: "it's\\ta\\\\b" }, 'SELECT {x:String}', "it\\'s\\ta\\\\b\n"],
    ['an array', { param_x: "['a','b']" }, 'SELECT length({x:Array(String)})', '2\n'],
    ['an identifier', { param_x: 's' }, 'SELECT {x:Identifier} FROM t WHERE a = 1', 'one\n'],
    [
      'a value that looks like SQL',
      { param_x: "1'; DROP TABLE t" },
      'SELECT length({x:String})',
      '16\n',
    ],
    ['a value that is a forbidden name', { param_x: 'file' }, 'SELECT {x:String}', 'file\n'],
    ['a database', { database: 'system' }, 'SELECT * FROM one', '0\n'],
    [
      'a format setting',
      { output_format_json_quote_64bit_integers: '1' },
      'SELECT a FROM t WHERE a = 1 FORMAT JSONEachRow',
      '{"a":"1"}\n',
    ],
    [
      'a lower limit',
      { max_execution_time: '5' },
      "SELECT getSetting('max_execution_time')",
      '5\n',
    ],
    [
      'settings of the HTTP server',
      { send_progress_in_http_headers: '1', http_zlib_compression_level: '1' },
      'SELECT 1',
      '1\n',
    ],
    ['readonly, which is set anyway', { readonly: '2' }, "SELECT getSetting('readonly')", '1\n'],
  ])('%s', async (_, search: Record<string, string>, sql, text) => {
    const answer = await query(servers.readOnly, sql, { search })
    expect(answer.text).toBe(text)
    expect(answer.status).toBe(200)
  })
})

describe('reports with ClickHouse’s code, status and text', () => {
  test.each([
    ['unknown table', 'SELECT * FROM nope', {}, 404, '60', 'UNKNOWN_TABLE'],
    ['unknown function', 'SELECT nope(1)', {}, 404, '46', 'UNKNOWN_FUNCTION'],
    ['unknown database', 'SELECT 1', { database: 'nope' }, 404, '81', 'UNKNOWN_DATABASE'],
    ['unknown format', 'SELECT 1 FORMAT Nope', {}, 404, '73', 'UNKNOWN_FORMAT'],
    ['syntax', 'SELEC 1', {}, 400, '62', 'SYNTAX_ERROR'],
    ['an empty statement', ' -- nothing', {}, 400, '62', 'SYNTAX_ERROR'],
    ['several statements', 'SELECT 1; SELECT 2', {}, 400, '62', 'SYNTAX_ERROR'],
    ['a missing parameter', 'SELECT {x:UInt8}', {}, 500, '456', 'UNKNOWN_QUERY_PARAMETER'],
    ['a wrong parameter', 'SELECT {x:UInt8}', { param_x: 'a' }, 500, '457', 'BAD_QUERY_PARAMETER'],
    ['a wrong type', "SELECT 1 + 'a'", {}, 500, '43', 'ILLEGAL_TYPE_OF_ARGUMENT'],
    [
      'a failure at once',
      'SELECT throwIf(1)',
      {},
      500,
      '395',
      'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO',
    ],
    ['a write', 'DROP TABLE t', {}, 500, '164', 'READONLY'],
    ['a wrong user', 'SELECT 1', { user: 'root' }, 403, '516', 'AUTHENTICATION_FAILED'],
    ['a table function', "SELECT * FROM file('x')", {}, 403, '497', 'ACCESS_DENIED'],
    ['a query too large', `SELECT '${'x'.repeat(300_000)}'`, {}, 400, '62', 'SYNTAX_ERROR'],
    ['a body too large', `SELECT '${'x'.repeat(1_100_000)}'`, {}, 413, '229', 'QUERY_IS_TOO_LARGE'],
  ])('%s', async (_, sql, search: Record<string, string>, status, code, name) => {
    const answer = await query(servers.readOnly, sql, { search })
    expect(answer.text).toMatch(
      new RegExp(`^Code: ${code}\\. DB::Exception: [^]*\\(${name}\\) \\(version [\\d.]+\\)\n$`),
    )
    expect([answer.status, answer.code]).toEqual([status, code])
  })

  test('invalid gzip: 400', async () => {
    const init = { method: 'POST', body: 'not gzip', headers: { 'content-encoding': 'gzip' } }
    expect((await get('', init)).status).toBe(400)
  })

  test('a decompression bomb: 413', async () => {
    expect((await get('', gzipped('x'.repeat(50_000_000)))).status).toBe(413)
  })

  test('a late failure: the reply ends with the __exception__ block', async () => {
    const { status, headers, text } = await query(
      servers.readOnly,
      'SELECT throwIf(number = 3000000) FROM system.numbers',
    )
    const tag = headers.get('x-clickhouse-exception-tag')
    const [, message, length] = new RegExp(
      `\r\n__exception__\r\n${tag}\r\n([^]*\n)(\\d+) ${tag}\r\n__exception__\r\n$`,
    ).exec(text)!
    expect(status).toBe(200)
    expect(message).toStartWith('Code: 395. DB::Exception: ')
    expect(message!.length).toBe(Number(length))
  })

  test('a failure within the buffer that the client allows: as a status', async () => {
    const sql = 'SELECT throwIf(number = 1000000) FROM system.numbers'
    const search = { wait_end_of_query: '1' }
    expect((await query(servers.readOnly, sql, { search })).status).toBe(500)
  })
})

describe('replies', () => {
  test('contain the id of the query, given or generated', async () => {
    const given = await query(servers.readOnly, 'SELECT 1', { search: { query_id: 'mine' } })
    const made = await query(servers.readOnly, 'SELECT 1')
    expect(given.headers.get('x-clickhouse-query-id')).toBe('mine')
    expect(made.headers.get('x-clickhouse-query-id')).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('contain a summary', async () => {
    const { headers } = await query(servers.readOnly, 'SELECT a FROM t')
    const summary = JSON.parse(headers.get('x-clickhouse-summary')!)
    expect(summary).toMatchObject({ read_rows: '2', read_bytes: '16', written_rows: '0' })
    expect(Number(summary.elapsed_ns)).toBeGreaterThan(0)
  })

  test.each(['gzip', 'zstd', 'deflate'])(
    'are compressed as the client likes: %s',
    async (encoding) => {
      const headers = { 'accept-encoding': encoding }
      const answer = await query(
        servers.readOnly,
        'SELECT number FROM system.numbers LIMIT 1000000',
        { headers },
      )
      expect(answer.headers.get('content-encoding')).toBe(encoding)
      expect(answer.text).toEndWith('\n999999\n')
    },
  )

  test("are compressed in ClickHouse's own way with compress=1", async () => {
    const search = new URLSearchParams({
      query: 'SELECT number FROM numbers(100000)',
      compress: '1',
    })
    const reply = await get(`?${search}`)
    expect(reply.status).toBe(200)
    const packed = new Uint8Array(await reply.arrayBuffer())
    const plain = new Response(packed).body!.pipeThrough(createBlockDecompression())
    const text = await new Response(plain).text()
    expect(text).toEndWith('\n99999\n')
    expect(packed.length).toBeLessThan(text.length)
  })

  test('are not compressed if the client disables it', async () => {
    const search = { enable_http_compression: '0' }
    const headers = { 'accept-encoding': 'gzip' }
    const answer = await query(servers.readOnly, 'SELECT 1', { search, headers })
    expect(answer.headers.get('content-encoding')).toBeNull()
  })
})

test("takes bodies in ClickHouse's own compression with decompress=1", async () => {
  await query(servers.writable, 'CREATE TABLE packed (a UInt64) ENGINE = Memory')
  const rows = Array.from({ length: 300_000 }, (_, at) => `${at}\n`).join('')
  const body = toCompressedBlocks(Buffer.from(rows))
  const search = { query: 'INSERT INTO packed FORMAT TSV', decompress: '1' }
  const insert = (bytes: Uint8Array<ArrayBuffer>) =>
    query(servers.writable, '', { search, body: bytes })
  expect(await insert(body)).toMatchObject({ status: 200 })
  const stored = async () => (await query(servers.readOnly, 'SELECT count() FROM packed')).text
  expect(await stored()).toBe('300000\n')
  const damaged = body.slice()
  damaged[100]! ^= 1
  expect((await insert(damaged)).status).toBeGreaterThanOrEqual(400)
  expect(await stored()).toBe('300000\n')
})

describe('browsers must not guess the type of', () => {
  test.each<[string, string, RequestInit]>([
    ['rows', '?query=SELECT%201', {}],
    ['rows in HTML', "?query=SELECT%20'<script>'%20FORMAT%20TSVRaw", {}],
    ['an error', '?query=SELECT%20nothing', {}],
    ['a refused statement', "?query=SELECT%20*%20FROM%20file('x')", {}],
    ['a refused format', '?query=SELECT%201&default_format=<b>', {}],
    ['an unknown setting', '?query=SELECT%201&<b>=1', {}],
    ['an unknown path', '<script>', {}],
    ['ping', 'ping', {}],
    ['a body that is not gzip', '', { ...gzipped('SELECT 1'), body: '<b>' }],
    ['a foreign host', '?query=SELECT%201', { headers: { host: 'evil.example' } }],
  ])('%s', async (_, search, init) => {
    const reply = await get(search, init)
    await reply.text()
    expect(reply.headers.get('x-content-type-options')).toBe('nosniff')
  })
})

describe('access control', () => {
  test.each([
    ['127.0.0.1', { host: '127.0.0.1' }, 200],
    ['localhost with a port', { host: 'localhost:8123' }, 200],
    ['IPv6', { host: '[::1]:8123' }, 200],
    ['a local page', { origin: 'http://localhost:3000' }, 200],
    ['a foreign name bound to this address', { host: 'evil.example' }, 403],
    ['a name that starts with localhost', { host: 'localhost.evil.example' }, 403],
    ['a name that starts with 127.0.0.1', { host: '127.0.0.1.evil.example:8123' }, 403],
    ['a user before the host name', { host: 'localhost@evil.example' }, 403],
    ['a foreign page', { origin: 'https://evil.example' }, 403],
    ['a page without origin', { origin: 'null' }, 403],
    ['an image of a foreign page', { 'sec-fetch-site': 'cross-site' }, 403],
  ])('%s', async (_, headers, status) => {
    expect((await query(servers.readOnly, 'SELECT 1', { headers })).status).toBe(status)
    expect((await get('ping', { headers })).status).toBe(status)
  })

  test.each([
    ['the user without a password', { authorization: `Basic ${btoa('default:')}` }, 200],
    ['a password', { authorization: `Basic ${btoa('default:guess')}` }, 403],
    ['a password in a header', { 'x-clickhouse-key': 'guess' }, 403],
    ['another user', { 'x-clickhouse-user': 'root' }, 403],
  ])('%s', async (_, headers, status) => {
    expect((await query(servers.readOnly, 'SELECT 1', { headers })).status).toBe(status)
  })
})

function gzipped(text: string): RequestInit {
  const headers = { 'content-encoding': 'gzip' }
  return { method: 'POST', body: gzipSync(text), headers }
}

function toForm(fields: Record<string, string>): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  return form
}
