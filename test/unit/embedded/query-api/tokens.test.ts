import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { splitInsert } from '../../../../src/embedded/query-api/insert.ts'
import { withClientIds } from '../../../../src/embedded/query-api/processes.ts'
import { toTokens } from '../../../../src/embedded/query-api/tokens.ts'

const read = (sql: string) => [...toTokens(sql)].map(({ kind, value }) => `${kind} ${value}`)

describe('tokens', () => {
  test.each([
    ['SELECT a1, b_2', ['word SELECT', 'word a1', 'mark ,', 'word b_2']],
    ["'it''s' 'a\\'b'", ["string it's", "string a'b"]],
    ['`a\\nb\\xc`', ['quoted a\nbxc']],
    ['"q""r" `a\\`b`', ['quoted q"r', 'quoted a`b']],
    ['a -- b\n/* c\n */ # d\ne', ['word a', 'word e']],
    ["$$it's$$ $tag$ $$ $tag$", ["string $$it's$$", 'string $tag$ $$ $tag$']],
    ['1.5e3 0x1F', ['number 1.5e3', 'number 0x1F']],
    ["'not closed", ['string not close']],
    ['/* not closed', []],
  ])('of %s', (sql, expected) => {
    expect(read(sql)).toEqual(expected)
  })

  test('count what is around them', () => {
    expect([...toTokens('a(b[c])d')].map(({ depth }) => depth)).toEqual([0, 0, 1, 1, 2, 1, 0, 0])
  })

  test('cover any text in order', () => {
    const part = fc.constantFrom("'", '"', '`', '$$', '--', '/*', '*/', '\\', '\n', '(', 'FORMAT')
    const text = fc.array(fc.oneof(part, fc.string())).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, (sql) => {
        const bounds = [...toTokens(sql)].flatMap(({ start, end }) => [start, end])
        expect(bounds).toEqual(bounds.toSorted((a, b) => a - b))
        expect(bounds.at(-1) ?? 0).toBeLessThanOrEqual(sql.length)
      }),
    )
  })
})

describe('an insert and its rows', () => {
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

  test('are told apart, whatever they hold', () => {
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
  ])('are none in %s', (sql) => {
    expect(splitInsert(sql)).toBeUndefined()
  })
})

describe('ids of clients', () => {
  const edit = (sql: string) => withClientIds(sql, [...toTokens(sql)])

  test.each([
    'SELECT query_id FROM processes',
    "SELECT 'FROM system.processes'",
    'SELECT system.processes FROM t',
    'SELECT query_id FROM system.query_log',
  ])('change nothing in %s', (sql) => {
    expect(edit(sql)).toBe(sql)
  })

  test('stand in for the engine’s in every place', () => {
    const edited = edit('SELECT 1 FROM system.processes AS a JOIN system.processes ON 1')
    expect(edited.match(/\(SELECT \* REPLACE/g)).toHaveLength(2)
    expect(edited).toEndWith(' AS processes ON 1')
    expect(edited).toContain(') AS a JOIN')
  })
})
