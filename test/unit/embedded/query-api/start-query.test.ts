import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { splitInsert } from '../../../../src/embedded/query-api/start-query.ts'

describe('splitInsert', () => {
  const name = fc.constantFrom('t', 'd.t', '`a b`', '"FORMAT x"', 'format', 'd.values', '`VALUES`')
  const columns = fc.constantFrom('', ' (a, b)', ' (`select`, "values")', ' (* EXCEPT b)')
  const settings = fc.constantFrom('', " SETTINGS x = 'FORMAT CSV'", ' /* VALUES */ SETTINGS y = 1')
  const clause = fc.constantFrom(
    ['FORMAT JSONEachRow\n', 'JSONEachRow'],
    ['format TSV \r\n', 'TSV'],
    ['FORMAT CSV ', 'CSV'],
    ['VALUES', 'Values'],
    ['values', 'Values'],
  )
  const rows = fc.string().map((text) => `(${text}`)

  test('separates the statement from its rows, whatever they contain', () => {
    fc.assert(
      fc.property(fc.tuple(name, columns, settings, clause, rows), (parts) => {
        const [table, list, setting, [words, format], data] = parts
        const head = `INSERT INTO ${table}${list}${setting} `
        const split = splitInsert(`${head}${words}${data}`)
        expect(split).toMatchObject({ sql: head, format })
        expect(`${head}${words}${data}`.slice(split?.dataStart)).toBe(data)
      }),
    )
  })

  test.each([
    'SELECT 1 FORMAT CSV',
    'INSERT INTO t SELECT 1 FORMAT CSV',
    'INSERT INTO t (a) WITH 1 AS x SELECT x',
    "INSERT INTO t FROM INFILE 'f' FORMAT CSV",
    "CREATE TABLE t (a UInt8) COMMENT 'INSERT INTO t VALUES'",
    'INSERT INTO t',
    '',
  ])('finds no rows in %s', (sql) => {
    expect(splitInsert(sql)).toBeUndefined()
  })
})
