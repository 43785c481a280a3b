import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assertHarmless, assertRead } from '../../../src/embedded/query-api/guard.ts'
import { toTokens } from '../../../src/embedded/query-api/tokens.ts'
import { type QueryServers, query, startQueryServers } from './query-servers.ts'

/** Several checks and ClickHouse itself stop most escapes. These tests cover each check alone. */
let servers: QueryServers
let tableFunctions: ReadonlySet<string>
beforeAll(async () => {
  servers = await startQueryServers()
  const names = await ask('SELECT lower(name) FROM system.table_functions')
  tableFunctions = new Set(names.split('\n'))
  await ask('CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a')
})
afterAll(() => servers.stop())

async function ask(sql: string, search: Record<string, string> = {}): Promise<string> {
  const { status, text } = await query(servers.writable, sql, { search })
  if (status !== 200) throw new Error(text)
  return text.replace(/\n$/, '')
}

type Parameters = Record<string, string>
const asSent = (parameters: Parameters) =>
  Object.fromEntries(Object.entries(parameters).map(([name, value]) => [`param_${name}`, value]))

/** The verdict on the syntax tree, with harmless tokens. */
async function judgeTree(sql: string, parameters: Parameters = {}): Promise<void> {
  const tree = (await ask(`EXPLAIN AST ${sql}`, asSent(parameters))).split('\n')
  const statement = { kind: 'read', head: sql, format: undefined, tail: '', tokens: [] } as const
  assertHarmless({ statement, tree, parameters, tableFunctions })
}

/** The verdict on the tokens, with a tree that has only this root. */
async function judgeWords(sql: string, root: string, parameters: Parameters = {}): Promise<void> {
  const formatted = 'SELECT formatQuerySingleLine({sql:String}) FORMAT TSVRaw'
  const head = await ask(formatted, { param_sql: sql.replace(/[\\\n]/g, toEscape) })
  const tokens = [...toTokens(head)]
  const statement = { kind: 'read', head, format: undefined, tail: '', tokens } as const
  assertHarmless({ statement, tree: [root], parameters, tableFunctions })
}

const toEscape = (character: string) => (character === '\n' ? '\\n' : '\\\\')

const select = 'SelectWithUnionQuery (children 1)'
const show = 'ShowTables'

describe('the check of the tree refuses', () => {
  test.each<[string, string, Parameters?]>([
    ['a write', 'DROP TABLE t'],
    ['a CHECK, which writes', 'CHECK TABLE t'],
    ['an explained write', "EXPLAIN PIPELINE INSERT INTO t SELECT 2, 'two'"],
    ['settings', 'SELECT 1 SETTINGS readonly = 0'],
    ['settings in a subquery', 'SELECT * FROM (SELECT 1 SETTINGS readonly = 0)'],
    ['settings of an explained statement', 'EXPLAIN actions = 1 SELECT 1 SETTINGS readonly = 0'],
    ['a function as a table', 'SELECT * FROM numbers(3)'],
    ['a table function that is an ordinary function too', "SELECT * FROM format(CSV, '1')"],
    ['a table function after IN', 'SELECT a IN numbers(3) FROM t'],
    ['a function with access to files', "SELECT file('/etc/hostname')"],
    [
      'a nested function with access to files',
      "SELECT a FROM t WHERE length(upper(file('x'))) > a",
    ],
    ['a function of dictionaries', "SELECT dictGetOrDefault('d', 'a', 1, 2)"],
    ['a function by its name', "SELECT arrayMap(file, ['/etc/hostname'])"],
    ['a function by a parameter', "SELECT arrayMap({f:Identifier}, ['x'])", { f: 'file' }],
    ['a file', 'SELECT * FROM `/etc/hostname`'],
    ['a file in a database', 'SELECT a FROM t JOIN default.`/etc/hostname` AS f ON 1'],
    ['a file after a space', 'SELECT * FROM `x /../etc/hostname`'],
    ['a file by a parameter', 'SELECT * FROM {f:Identifier}', { f: '/etc/hostname' }],
    ['a file after IN', "SELECT s, 'x' NOT IN `/etc/hostname` FROM t"],
    ['a file after IN by a parameter', "SELECT 'x' IN {f:Identifier}", { f: '/etc/hostname' }],
    ['a closed table', 'SELECT * FROM system.stack_trace'],
    ['a closed table without a database', 'SELECT (SELECT count() FROM symbols)'],
    ['a closed table after IN', 'SELECT 1 IN system.stack_trace'],
  ])('%s', async (_, sql, parameters) => {
    await expect(judgeTree(sql, parameters)).rejects.toThrow(/READONLY|ACCESS_DENIED/)
  })
})

describe('the check of the tokens refuses', () => {
  test.each<[string, string, string, Parameters?]>([
    ['settings', select, 'SELECT * FROM (SELECT 1 SETTINGS readonly = 0)'],
    ['a file to write', select, "SELECT 1 INTO OUTFILE 'written'"],
    ['a table function', select, 'SELECT * FROM numbers(3)'],
    ['a table function in another case', show, 'SHOW TABLES WHERE 1 IN (SELECT 1 FROM Numbers(1))'],
    ['a function with access to files', show, "SHOW TABLES WHERE file('x') = ''"],
    ['a function in a lambda', select, 'SELECT * APPLY (x -> file(x)) FROM t'],
    ['an escaped function name', select, 'SELECT * APPLY `f\\x69le` FROM t'],
    ['a closed table', show, 'SHOW TABLES WHERE 1 IN (SELECT 1 FROM system.stack_trace)'],
    ['a function by a parameter', select, "SELECT arrayMap({f:Identifier}, ['x'])", { f: 'file' }],
    [
      'a closed table by a parameter',
      show,
      'SHOW TABLES WHERE 1 IN (SELECT 1 FROM {t:Identifier})',
      { t: 'system.symbols' },
    ],
    ['a file', 'ExistsTableQuery', 'EXISTS TABLE `/etc/hostname`'],
    [
      'a file by a parameter',
      'ExistsTableQuery',
      'EXISTS TABLE {t:Identifier}',
      { t: '/etc/hostname' },
    ],
    ['a described file', 'DescribeQuery', 'DESCRIBE TABLE `/etc/hostname`'],
    ['a name with a line break', select, 'SELECT * FROM `x\n/../etc/hostname`'],
    [
      'a parameter with a line break',
      select,
      'SELECT * FROM {t:Identifier}',
      { t: 'x\n/../etc/hostname' },
    ],
  ])('%s', async (_, root, sql, parameters) => {
    await expect(judgeWords(sql, root, parameters)).rejects.toThrow(/READONLY|ACCESS_DENIED/)
  })
})

test.each([
  'SELECT a AS `a b`, s AS "x/y" FROM t WHERE s = \'file(/etc/hostname) SETTINGS\' ORDER BY a',
  'SELECT a IN (1, 2), s AS "x/y" FROM t AS f WHERE "x/y" IN (SELECT s AS "x/y" FROM t)',
  'SELECT s AS "x/y" FROM t WHERE a IN (1, length("x/y"))',
  "SELECT format('{}', s), a * 2 FROM t",
  'SELECT * FROM system.numbers LIMIT 1',
  'EXPLAIN actions = 1 SELECT a FROM t',
])('allows the read %s', async (sql) => {
  await judgeTree(sql)
  await judgeWords(sql, select)
})

test('allows only what the parser classifies as a read', () => {
  const statement = { head: '', format: undefined, tail: '', tokens: [] }
  expect(() => assertRead({ ...statement, kind: 'read' })).not.toThrow()
  for (const kind of ['write', 'control', 'unknown'] as const)
    expect(() => assertRead({ ...statement, kind })).toThrow('READONLY')
})

const places: [string, (path: string) => string][] = [
  ['a table', (path) => `SELECT * FROM \`${path}\``],
  ['a string', (path) => `SELECT * FROM '${path}'`],
  ['a table of the default database', (path) => `SELECT * FROM default.\`${path}\``],
  ['a set', (path) => `SELECT 'x' IN \`${path}\``],
  ['a join', (path) => `SELECT count() FROM t JOIN \`${path}\` AS f ON 1 = 1`],
  ['a table after a space', (path) => `SELECT * FROM \`x /${'../..'.repeat(20)}${path.slice(1)}\``],
  ['a table on two lines', (path) => `SELECT * FROM \`x\n/${'../..'.repeat(20)}${path.slice(1)}\``],
  ['an explained table', (path) => `EXPLAIN SYNTAX SELECT * FROM \`${path}\``],
  ['a table of EXISTS', (path) => `EXISTS TABLE \`${path}\``],
  ['a described table', (path) => `DESCRIBE TABLE \`${path}\``],
  ['a table of SHOW', (path) => `SHOW COLUMNS FROM \`${path}\``],
  ['a function’s argument', (path) => `SELECT hasColumnInTable('default', '${path}', 'x')`],
]
test.each(places)('does not reveal whether a file exists: as %s', async (_, toSql) => {
  writeFileSync(join(servers.folder, 'secret.csv'), 'secret')
  const answers = ['secret.csv', 'absent.csv'].map(async (name) => {
    const { status, text } = await query(servers.readOnly, toSql(join(servers.folder, name)))
    return { status, text: text.replaceAll(name, '') }
  })
  const [there, absent] = await Promise.all(answers)
  expect(there?.text).not.toMatch(/^secret/)
  expect(there).toEqual(absent!)
})
