import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Readable } from 'node:stream'
import { type ClickHouseClient, createClient } from '@clickhouse/client'
import { type QueryServers, startQueryServers } from './query-servers.ts'

let servers: QueryServers
let reader: ClickHouseClient
let writer: ClickHouseClient
beforeAll(async () => {
  servers = await startQueryServers()
  reader = createClient({ url: servers.readOnly, log: { level: 127 } })
  writer = createClient({ url: servers.writable, log: { level: 127 } })
  await writer.command({
    query: 'CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a',
  })
})
afterAll(async () => {
  await Promise.all([reader.close(), writer.close()])
  await servers.stop()
})

const select = async <T>(query: string) =>
  (await reader.query({ query, format: 'JSONEachRow' })).json<T>()

describe('@clickhouse/client', () => {
  test('pings, by path and by query', async () => {
    expect(await reader.ping()).toEqual({ success: true })
    expect(await reader.ping({ select: true })).toEqual({ success: true })
    expect(await writer.ping({ select: true })).toEqual({ success: true })
  })

  test.each([
    ['plain', undefined],
    ['gzip', 'gzip'],
    ['zstd', 'zstd'],
    ['br', 'br'],
  ] as const)('inserts rows and reads them back: %s', async (_, codec) => {
    const client = createClient({
      url: servers.writable,
      ...(codec && { compression: { request: { codec }, response: true } }),
    })
    const rows = Array.from({ length: 2000 }, (_, a) => ({
      a,
      s: `${codec} ${'é'.repeat(50)} ${a}`,
    }))
    const { summary } = await client.insert({ table: 't', values: rows, format: 'JSONEachRow' })
    const query = 'SELECT toUInt32(a) AS a, s FROM t WHERE startsWith(s, {codec:String}) ORDER BY a'
    const query_params = { codec: `${codec} ` }
    const stored = await client.query({ query, query_params, format: 'JSONEachRow' })
    expect(await stored.json<object>()).toEqual(rows)
    expect(summary?.written_rows).toBe('2000')
    await client.close()
  })

  test('inserts a stream of bytes by exec', async () => {
    const lines = ['{"a":1,"s":"by exec"}\n', '\n\nDROP TABLE t\n']
    const sound = writer.exec({
      query: 'INSERT INTO t FORMAT JSONEachRow',
      values: Readable.from(lines.slice(0, 1), { objectMode: false }),
    })
    for await (const _ of (await sound).stream);
    const blankLine = writer.exec({
      query: 'INSERT INTO t FORMAT JSONEachRow',
      values: Readable.from(lines, { objectMode: false }),
    })
    await expect(blankLine).rejects.toMatchObject({ code: '27' })
    expect(await select("SELECT count() AS n FROM t WHERE s = 'by exec'")).toEqual([{ n: 1 }])
  })

  test('binds parameters of every kind, in the URL and in a form', async () => {
    const query =
      'SELECT {s:String} AS s, {n:UInt8} AS n, {l:Array(String)} AS l, {d:DateTime64(3)} AS d'
    const query_params = { s: "it's\ta\\b\n", n: 7, l: ["a'b", 'c'], d: new Date(0) }
    const expected = [{ s: "it's\ta\\b\n", n: 7, l: ["a'b", 'c'], d: '1970-01-01 00:00:00.000' }]
    for (const use_multipart_params of [false, true]) {
      const result = await reader.query({
        query,
        query_params,
        use_multipart_params,
        format: 'JSONEachRow',
      })
      expect(await result.json<object>()).toEqual(expected)
    }
  })

  test('reads JSON with its statistics', async () => {
    const result = await reader.query({ query: 'SELECT 1 AS x', format: 'JSON' })
    expect(await result.json()).toMatchObject({ data: [{ x: 1 }], rows: 1, meta: [{ name: 'x' }] })
    expect(result.response_headers['x-clickhouse-format']).toBe('JSON')
  })

  test('streams rows', async () => {
    const result = await reader.query({
      query: 'SELECT number FROM system.numbers LIMIT 500000',
      format: 'JSONCompactEachRow',
    })
    let count = 0
    for await (const rows of result.stream()) count += rows.length
    expect(count).toBe(500_000)
  })

  test('streams rows compressed', async () => {
    const client = createClient({ url: servers.readOnly, compression: { response: true } })
    const query = 'SELECT number FROM system.numbers LIMIT 300000'
    const rows = await (await client.query({ query, format: 'JSONCompactEachRow' })).json<
      [number]
    >()
    expect(rows.at(-1)).toEqual([299_999])
    await client.close()
  })

  test('gets the exception of a query that fails at once', async () => {
    const failing = reader.query({ query: 'SELECT * FROM nope', format: 'JSONEachRow' })
    await expect(failing).rejects.toMatchObject({ code: '60', type: 'UNKNOWN_TABLE' })
  })

  test('gets the exception of a query that fails during the reply', async () => {
    const result = await reader.query({
      query: 'SELECT throwIf(number = 3000000) AS x FROM system.numbers',
      format: 'JSONEachRow',
    })
    const drain = async () => {
      for await (const _ of result.stream());
    }
    await expect(drain()).rejects.toMatchObject({ code: '395' })
  })

  test('sends its settings and query id', async () => {
    const result = await reader.query({
      query: "SELECT query_id, Settings['max_result_rows'] AS rows FROM system.processes",
      format: 'JSONEachRow',
      query_id: 'the one',
      clickhouse_settings: { max_result_rows: '10', wait_end_of_query: 1 },
    })
    expect(result.query_id).toBe('the one')
    expect(await result.json<object>()).toEqual([{ query_id: 'the one', rows: '10' }])
  })

  test('gets an error for a write on the read-only interface', async () => {
    const writing = reader.insert({ table: 't', values: [{ a: 1, s: 'x' }], format: 'JSONEachRow' })
    await expect(writing).rejects.toMatchObject({ code: '164', type: 'READONLY' })
    await expect(reader.command({ query: 'DROP TABLE t' })).rejects.toMatchObject({ code: '164' })
  })

  test('cancels a query by its signal', async () => {
    const controller = new AbortController()
    const query = 'SELECT sum(cityHash64(number)) FROM system.numbers'
    const abort_signal = controller.signal
    const running = reader.query({ query, format: 'JSONEachRow', abort_signal })
    controller.abort()
    await expect(running).rejects.toThrow('abort')
    expect(await select('SELECT 1 AS x')).toEqual([{ x: 1 }])
  })
})
