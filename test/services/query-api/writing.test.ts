import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import fc from 'fast-check'
import { until } from '../../support/until.ts'
import { type QueryServers, query, startQueryServers } from './query-servers.ts'

let servers: QueryServers
const write = (sql: string, search: Record<string, string> = {}, init: RequestInit = {}) =>
  query(servers.writable, sql, { search, ...init })

beforeAll(async () => {
  servers = await startQueryServers()
})
afterAll(() => servers.stop())

/** Creates a table for one test. */
async function createTable(name: string): Promise<string> {
  const settings = 'SETTINGS non_replicated_deduplication_window = 100'
  await write(`CREATE TABLE ${name} (a UInt64, s String) ENGINE = MergeTree ORDER BY a ${settings}`)
  return name
}
const rowsOf = async (table: string) =>
  (await write(`SELECT a, s FROM ${table} ORDER BY a, s`)).text

describe('inserts rows', () => {
  test.each([
    ['in the statement', "INSERT INTO rows1 VALUES (1, 'x'), (2, ';')", '', '1\tx\n2\t;\n'],
    ['after VALUES in the URL', "(1, 'x')", 'INSERT INTO rows2 (a, s) VALUES', '1\tx\n'],
    [
      'after FORMAT in the URL',
      '{"a":1,"s":"x"}\n{"a":2,"s":"y"}',
      'INSERT INTO rows3 FORMAT JSONEachRow',
      '1\tx\n2\ty\n',
    ],
    [
      'after FORMAT in the body',
      'INSERT INTO rows4 FORMAT CSV\n1,"x"\n2,"y;\nz"\n',
      '',
      '1\tx\n2\ty;\\nz\n',
    ],
    [
      'with settings before the format',
      '1\tx\n',
      'INSERT INTO rows5 SETTINGS async_insert = 0 FORMAT TSV',
      '1\tx\n',
    ],
    [
      'from a select',
      'INSERT INTO rows6 SELECT number, toString(number) FROM numbers(2)',
      '',
      '0\t0\n1\t1\n',
    ],
    [
      'with a comment and another case',
      "/* FORMAT CSV */ insert into rows7 -- VALUES\n values (1, 'FORMAT TSV')",
      '',
      '1\tFORMAT TSV\n',
    ],
    ['without any row', '', 'INSERT INTO rows8 FORMAT JSONEachRow', ''],
    [
      'into a table with a quoted name',
      '1\tx\n',
      'INSERT INTO `rows9 FORMAT é` FORMAT TSV',
      '1\tx\n',
    ],
    ['with bytes that are not UTF-8', 'INSERT INTO rows10 FORMAT TSV\n1\té\n', '', '1\té\n'],
  ])('%s', async (_, body, search, stored) => {
    const table = /rows\d+( FORMAT é)?/.exec(search + body)![0]
    const created = await createTable(`\`${table}\``)
    const { status, text } = await write(body, search ? { query: search } : {})
    expect(text).toBe('')
    expect(status).toBe(200)
    expect(await rowsOf(created)).toBe(stored)
  })

  test('in chunks of any size', async () => {
    await write('CREATE TABLE cut (a UInt64, s String) ENGINE = Memory')
    const rows = fc.array(fc.record({ a: fc.nat(), s: fc.string() }), { maxLength: 300 })
    const sizes = fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1 })
    const check = async (given: readonly object[], pieces: readonly number[]) => {
      const body = Buffer.from(given.map((row) => `${JSON.stringify(row)}\n`).join(''))
      const search = { query: 'INSERT INTO cut FORMAT JSONEachRow' }
      await write('', search, { body: toPieces(body, pieces) })
      const { text } = await write('SELECT a, s FROM cut FORMAT JSONEachRow', {
        output_format_json_quote_64bit_integers: '0',
        output_format_json_escape_forward_slashes: '0',
      })
      await write('TRUNCATE TABLE cut')
      const stored = text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as object)
      expect(stored).toEqual([...given])
    }
    await fc.assert(fc.asyncProperty(rows, sizes, check), { numRuns: 40 })
  })

  test('or none, if one is invalid', async () => {
    const table = await createTable('wrong')
    const { status, code } = await write(`INSERT INTO wrong FORMAT JSONEachRow {"a":1}{"a":"x"}`)
    expect([status, code]).toEqual([400, '27'])
    expect(await rowsOf(table)).toBe('')
  })

  test('not at all, if the client disconnects midway', async () => {
    const table = await createTable('broken_off')
    const { port } = new URL(servers.writable)
    const socket = connect(Number(port), '127.0.0.1')
    const sql = encodeURIComponent('INSERT INTO broken_off FORMAT TSV')
    socket.write(
      `POST /?query_id=broken&query=${sql} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n1\tx\n`,
    )
    await until(async () => (await processes()).includes('broken'))
    socket.destroy()
    await until(async () => !(await processes()).includes('broken'))
    expect(await rowsOf(table)).toBe('')
  })

  test('with a summary in the reply', async () => {
    await createTable('counted')
    const { headers } = await write("INSERT INTO counted VALUES (1, 'x'), (2, 'y')")
    expect(JSON.parse(headers.get('x-clickhouse-summary')!)).toMatchObject({ written_rows: '2' })
  })

  test('once for the same token', async () => {
    const table = await createTable('tokens')
    const search = { query: 'INSERT INTO tokens FORMAT TSV', async_insert: '0' }
    for (const insert_deduplication_token of ['one', 'one', 'two'])
      await write('1\tx\n', { ...search, insert_deduplication_token })
    expect(await rowsOf(table)).toBe('1\tx\n1\tx\n')
  })

  test('from many clients at once', async () => {
    const table = await createTable('many')
    const sql = 'INSERT INTO many SELECT number, toString(number) FROM numbers(1000)'
    const inserts = Array.from({ length: 40 }, () => write(sql))
    expect((await Promise.all(inserts)).map(({ status }) => status)).toEqual(Array(40).fill(200))
    expect((await write(`SELECT count() FROM ${table}`)).text).toBe('40000\n')
  })

  test('but not by GET', async () => {
    await createTable('got')
    const reply = await fetch(`${servers.writable}?query=INSERT+INTO+got+VALUES+(1,'x')`)
    expect(reply.headers.get('x-clickhouse-exception-code')).toBe('164')
  })
})

const processes = async () =>
  (await write('SELECT query_id FROM system.processes')).text.split('\n')

describe('query ids', () => {
  test('distinguish a running insert from an ended one', async () => {
    await createTable('watched')
    const { readable, writable } = new TransformStream<Uint8Array>()
    const search = { query: 'INSERT INTO watched FORMAT TSV', query_id: "it's watched" }
    const running = write('', search, { body: readable })
    const rows = writable.getWriter()
    const sql = 'SELECT count() FROM system.processes WHERE query_id = {id:String}'
    const count = async () => (await write(sql, { param_id: "it's watched" })).text
    await rows.write(new TextEncoder().encode('1\tx\n'))
    await until(async () => (await count()) === '1\n')
    await rows.close()
    expect((await running).status).toBe(200)
    expect(await count()).toBe('0\n')
  })

  test.each([
    ['SELECT p.query_id FROM system.processes AS p'],
    ['SELECT processes.query_id FROM system.processes'],
    ['SELECT query_id FROM (SELECT * FROM `system`.`processes`)'],
    ['WITH p AS (SELECT query_id FROM system.processes) SELECT * FROM p'],
    ["SELECT query_id FROM system.one, system.processes WHERE query != 'system.processes'"],
  ])('are visible to %s', async (sql) => {
    expect((await write(sql, { query_id: 'me' })).text).toBe('me\n')
  })

  test('coexist with a log_comment of the client', async () => {
    const sql = "SELECT query_id, Settings['log_comment'] LIKE '%mine' FROM system.processes"
    const { text } = await write(sql, { query_id: 'me', log_comment: 'mine' })
    expect(text).toBe('me\t1\n')
  })

  test('kill a query', async () => {
    const running = write('SELECT sum(cityHash64(number)) FROM numbers(1e12)', { query_id: 'slow' })
    await until(async () => (await processes()).includes('slow'))
    const { text } = await write("KILL QUERY WHERE query_id = 'slow' SYNC")
    expect(text).toContain('numbers')
    expect((await running).code).toBe('394')
  })

  test('are unique among running queries', async () => {
    const search = { query_id: 'twice' }
    const codes = await Promise.all([
      write('SELECT sleep(0.2)', search),
      write('SELECT sleep(0.2)', search),
    ])
    expect(codes.map(({ code }) => code).sort()).toEqual(['216', null])
    expect((await write('SELECT 1', search)).status).toBe(200)
  })
})

describe('concurrent queries', () => {
  test('a slow select delays no insert', async () => {
    await createTable('beside')
    const slow = write('SELECT sleep(3)', { query_id: 'sleeper' })
    await until(async () => (await processes()).includes('sleeper'))
    await write("INSERT INTO beside VALUES (1, 'x')")
    expect(await processes()).toContain('sleeper')
    await write("KILL QUERY WHERE query_id = 'sleeper'")
    await slow
  })

  test('a select whose client does not read delays no other query', async () => {
    const reply = await fetch(`${servers.readOnly}?query=SELECT+number+FROM+system.numbers`)
    expect((await query(servers.writable, 'SELECT 1')).text).toBe('1\n')
    await reply.body?.cancel()
    expect((await query(servers.readOnly, 'SELECT 1')).text).toBe('1\n')
  })

  test('an unknown setting is an error, a known one is applied', async () => {
    expect((await write('SELECT 1', { no_such: '1' })).code).toBe('115')
    expect((await write("SELECT getSetting('max_threads')", { max_threads: '3' })).text).toBe('3\n')
    expect((await write("SELECT getSetting('max_threads') SETTINGS max_threads = 5")).text).toBe(
      '5\n',
    )
  })
})

/** The bytes in chunks of these sizes, repeated. */
function toPieces(bytes: Uint8Array, sizes: readonly number[]): ReadableStream<Uint8Array> {
  let [at, turn] = [0, 0]
  return new ReadableStream({
    pull(controller) {
      const piece = bytes.subarray(at, at + sizes[turn++ % sizes.length]!)
      at += piece.length
      if (piece.length > 0) controller.enqueue(piece.slice())
      else controller.close()
    },
  })
}
