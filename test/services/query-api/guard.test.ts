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

const isTable = (name: string) => ['t', 'default.t', 'system.numbers'].includes(name)

type Parameters = Record<string, string>
const asSent = (parameters: Parameters) =>
  Object.fromEntries(Object.entries(parameters).map(([name, value]) => [`param_${name}`, value]))

/** The verdict on the syntax tree, with harmless tokens. */
async function judgeTree(sql: string, parameters: Parameters = {}): Promise<void> {
  const tree = (await ask(`EXPLAIN AST ${sql}`, asSent(parameters))).split('\n')
  const statement = { kind: 'read', head: sql, format: undefined, tail: '', tokens: [] } as const
  assertHarmless({ statement, tree, parameters, tableFunctions, isTable })
}

/** The verdict on the tokens, with a tree that has only this root. */
async function judgeWords(sql: string, root: string, parameters: Parameters = {}): Promise<void> {
  const formatted = 'SELECT formatQuerySingleLine({sql:String}) FORMAT TSVRaw'
  const head = await ask(formatted, { param_sql: sql.replace(/[\\\n]/g, toEscape) })
  const tokens = [...toTokens(head)]
  const statement = { kind: 'read', head, format: undefined, tail: '', tokens } as const
  assertHarmless({ statement, tree: [root], parameters, tableFunctions, isTable })
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
    ['a function as a table', 'SELECT * FROM sum(3)'],
    ['a table function', "SELECT * FROM url('http://127.0.0.1:1/')"],
    ['a table function that is an ordinary function too', "SELECT * FROM format(CSV, '1')"],
    ['a table function after IN', "SELECT a IN merge('system', '.*') FROM t"],
    ['a function that takes a table name', "SELECT joinGet('/etc/hostname', 'a', 1)"],
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
    await expect(judgeTree(sql, parameters)).rejects.toThrow(/READONLY|ACCESS_DENIED|UNKNOWN_TABLE/)
  })
})

describe('the check of the tokens refuses', () => {
  test.each<[string, string, string, Parameters?]>([
    ['settings', select, 'SELECT * FROM (SELECT 1 SETTINGS readonly = DEFAULT)'],
    ['a file to write', select, "SELECT 1 INTO OUTFILE 'written'"],
    ['a table function', select, "SELECT * FROM url('http://127.0.0.1:1/')"],
    [
      'a table function in another case',
      show,
      "SHOW TABLES WHERE 1 IN (SELECT 1 FROM Merge('system', '.*'))",
    ],
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
  'SELECT number FROM numbers(3) WHERE number IN (SELECT * FROM values(1, 2))',
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

/** `~` stands for the name of a file that exists, or of one that does not. */
const places = [
  'SELECT * FROM `~`',
  "SELECT * FROM '~'",
  'SELECT * FROM default.`~`',
  "SELECT 'x' IN `~`",
  'SELECT count() FROM t JOIN `~` AS f ON 1 = 1',
  'SELECT count() FROM t, `~`',
  'WITH `~` AS (SELECT 1) SELECT * FROM (WITH `~` AS (SELECT 1) SELECT 1) AS x, t',
  'SELECT * FROM (WITH `~` AS (SELECT 1) SELECT 1) AS x, `~`',
  'EXPLAIN SYNTAX SELECT * FROM `~`',
  'EXISTS `~`',
  'EXISTS TABLE `~`',
  'EXISTS TABLE default.`~`',
  'EXISTS VIEW `~`',
  'EXISTS DICTIONARY `~`',
  'EXISTS TEMPORARY TABLE `~`',
  'EXISTS DATABASE `~`',
  'DESCRIBE TABLE `~`',
  'DESCRIBE default.`~`',
  'SHOW CREATE TABLE `~`',
  'SHOW CREATE `~`',
  'SHOW COLUMNS FROM `~`',
  'SHOW INDEX FROM `~`',
  "SELECT hasColumnInTable('default', '~', 'x')",
  "SELECT joinGet('~', 'x', 1)",
  "SELECT joinGetOrNull('~', 'x', 1)",
  'SELECT * FROM view(SELECT * FROM `~`)',
]

/** The first of each is there: in the server's folder, and in the folder the server was started in. */
const names = (folder: string): [string, string][] => [
  [join(folder, 'secret.csv'), join(folder, 'absent.csv')],
  [`x /${'../..'.repeat(20)}${folder.slice(1)}/secret.csv`, 'x /../absent.csv'],
  [`x\n/${'../..'.repeat(20)}${folder.slice(1)}/secret.csv`, 'x\n/../absent.csv'],
  ['package.json', 'packaged.json'],
  ['LICENSE', 'LICENCE'],
  ['src', 'source'],
]

test.each(places)('does not reveal whether a file exists: %s', async (place) => {
  writeFileSync(join(servers.folder, 'secret.csv'), 'secret')
  for (const pair of names(servers.folder)) {
    const [there, absent] = await Promise.all(
      pair.map(async (name) => {
        const { status, text } = await query(servers.readOnly, place.replaceAll('~', name))
        return { status, text: text.replaceAll(name, '').replaceAll(JSON.stringify(name), '') }
      }),
    )
    expect(there?.text).not.toMatch(/^secret/)
    expect(there).toEqual(absent!)
  }
})

test('EXISTS finds tables', async () => {
  const ask = async (sql: string) => (await query(servers.readOnly, sql)).text
  expect(await ask('EXISTS t')).toBe('1\n')
  expect(await ask('EXISTS TABLE default.t')).toBe('1\n')
  expect(await ask('EXISTS TABLE nothing')).toBe('0\n')
  expect(await ask('EXISTS DATABASE default')).toBe('1\n')
  const inSystem = { search: { database: 'system' } }
  expect((await query(servers.readOnly, 'EXISTS one', inSystem)).text).toBe('1\n')
})
