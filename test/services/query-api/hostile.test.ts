import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { toTokens } from '../../../src/embedded/query-api/tokens.ts'
import { type QueryServers, query, startQueryServers } from './query-servers.ts'

let servers: QueryServers
const secret = 'only-the-operator-may-read-this'
const host = readFileSync('/etc/hostname', 'utf8').trim()

beforeAll(async () => {
  servers = await startQueryServers()
  writeFileSync(join(servers.folder, 'secret.csv'), secret)
  await query(servers.writable, 'CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a')
  await query(servers.writable, "INSERT INTO t VALUES (1, 'one')")
})
afterAll(() => servers.stop())

const file = "file('/etc/hostname', 'LineAsString')"
const escapes = [
  // Table functions in every position of a table.
  `SELECT * FROM ${file}`,
  `SELECT * FROM FILE('/etc/hostname', 'LineAsString')`,
  "SELECT * FROM `file`('/etc/hostname', 'LineAsString')",
  "SELECT * FROM \"f\\x69le\"('/etc/hostname', 'LineAsString')",
  `SELECT /* ( */ * FROM -- '\n file /* x */ ('/etc/hostname', 'LineAsString')`,
  `SELECT * FROM (SELECT * FROM ${file})`,
  `WITH f AS (SELECT * FROM ${file}) SELECT * FROM f`,
  `WITH (SELECT * FROM ${file}) AS f SELECT f`,
  `SELECT (SELECT * FROM ${file})`,
  `SELECT * FROM t JOIN ${file} AS f ON 1 = 1`,
  `SELECT * FROM t, ${file}`,
  `SELECT 1 UNION ALL SELECT * FROM ${file}`,
  `SELECT 1 EXCEPT SELECT * FROM ${file}`,
  `SELECT s IN (SELECT * FROM ${file}) FROM t`,
  `SELECT s IN ${file} FROM t`,
  `SELECT * FROM t WHERE EXISTS (SELECT * FROM ${file})`,
  `SELECT * FROM t ORDER BY (SELECT * FROM ${file})`,
  `SELECT * FROM view(SELECT * FROM ${file})`,
  `SELECT * FROM viewIfPermitted(SELECT 1 ELSE ${file})`,
  `SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))`,
  `SELECT * FROM (EXPLAIN SELECT 1)`,
  "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
  "SELECT * FROM s3('http://127.0.0.1:1/a/b', 'LineAsString')",
  "SELECT * FROM remote('127.0.0.1', system.one)",
  "SELECT * FROM cluster('default', system.one)",
  "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
  "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
  "SELECT * FROM sqlite('/etc/hostname', 't')",
  "SELECT * FROM executable('cat', 'LineAsString', 'x String')",
  "SELECT * FROM merge('system', '.*')",
  "SELECT * FROM input('x String')",
  "SELECT * FROM format(CSV, '1')",
  "SELECT * FROM filesystem('/etc')",
  "SELECT * FROM icebergLocal('/etc')",
  "SELECT * FROM dictionary('d')",
  'SELECT * FROM loop(t)',
  "SELECT * FROM fuzzJSON('{}')",
  `DESCRIBE TABLE ${file}`,
  `DESCRIBE ${file}`,
  `DESCRIBE (SELECT * FROM ${file})`,
  `EXPLAIN SELECT * FROM ${file}`,
  `EXPLAIN AST SELECT * FROM ${file}`,
  `EXPLAIN PIPELINE SELECT * FROM ${file}`,
  `EXPLAIN ESTIMATE SELECT * FROM ${file}`,
  "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:1', 'd', 't', 'u', 'p') PARTITION BY x",
  // Files under a table's name.
  'SELECT * FROM `/etc/hostname`',
  "SELECT * FROM '/etc/hostname'",
  'SELECT * FROM default.`/etc/hostname`',
  'DESCRIBE TABLE `/etc/hostname`',
  'EXISTS TABLE `/etc/hostname`',
  'SELECT 1 IN `/etc/hostname`',
  'SELECT * FROM `../../etc/hostname`',
  // The function of the same name.
  "SELECT file('/etc/hostname')",
  "SELECT FILE('/etc/hostname')",
  "SELECT `file`('/etc/hostname')",
  "EXPLAIN SYNTAX SELECT file('/etc/hostname')",
  "EXPLAIN QUERY TREE SELECT file('/etc/hostname')",
  "SELECT arrayMap(x -> file(x), ['/etc/hostname'])",
  "SELECT arrayMap(file, ['/etc/hostname'])",
  "SELECT arrayMap(`file`, ['/etc/hostname'])",
  "SELECT * APPLY file FROM (SELECT '/etc/hostname')",
  "SELECT * APPLY (x -> file(x)) FROM (SELECT '/etc/hostname')",
  "SELECT * APPLY (x -> `f\\x69le`(x)) FROM (SELECT '/etc/hostname')",
  "SELECT COLUMNS('s') REPLACE (file('/etc/hostname') AS s) FROM t",
  "SHOW TABLES WHERE file('/etc/hostname') != ''",
  "SHOW COLUMNS FROM t WHERE file('/etc/hostname') != ''",
  `SHOW TABLES WHERE name IN (SELECT * FROM ${file} SETTINGS readonly = 0)`,
  "SELECT 1 WHERE file('/etc/hostname') = ''",
  "SELECT 1 LIMIT length(file('/etc/hostname'))",
  "SELECT dictGet('d', 'a', 1)",
  "SELECT catboostEvaluate('/etc/hostname', 1)",
  "SELECT aiGenerate('c', 'x')",
  'SELECT addressToSymbol(toUInt64(1))',
  // Settings that would lift the limits.
  `SELECT * FROM (SELECT * FROM ${file} SETTINGS readonly = 0)`,
  'SELECT 1 SETTINGS readonly = 0',
  "SELECT 1 FORMAT Template SETTINGS format_template_row = '/etc/hostname'",
  'SELECT 1 FORMAT `TSV SETTINGS readonly = 0`',
  "SELECT 1 FORMAT `TSV' INTO OUTFILE 'written`",
  'SHOW TABLES FORMAT `TSV SETTINGS readonly = 0`',
  'SET readonly = 0',
  'SET ROLE DEFAULT',
  // Statements that write, and several statements.
  "SELECT 1 INTO OUTFILE 'written'",
  "SELECT 1 INTO OUTFILE 'written' TRUNCATE FORMAT CSV",
  "SHOW TABLES INTO OUTFILE 'written'",
  "EXPLAIN SELECT 1 INTO OUTFILE 'written'",
  "EXPLAIN AST SELECT 1 INTO OUTFILE 'written'",
  "DESCRIBE TABLE t INTO OUTFILE 'written'",
  'SELECT 1; DROP TABLE t',
  'SELECT 1 PARALLEL WITH DROP TABLE t',
  'DROP TABLE t',
  'TRUNCATE TABLE t',
  'ALTER TABLE t DELETE WHERE 1',
  'DELETE FROM t WHERE 1',
  "INSERT INTO t VALUES (2, 'two')",
  "INSERT INTO t SELECT 2, 'two'",
  "INSERT INTO FUNCTION file('written', 'CSV') SELECT 1",
  'CREATE TABLE u (a UInt8) ENGINE = Memory',
  'CREATE TEMPORARY TABLE u (a UInt8)',
  `CREATE VIEW v AS SELECT * FROM ${file}`,
  'CREATE FUNCTION f AS x -> file(x)',
  "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(FILE(path '/etc/hostname' format 'CSV')) LAYOUT(FLAT())",
  "EXPLAIN PIPELINE INSERT INTO t SELECT 2, 'two'",
  'OPTIMIZE TABLE t',
  'CHECK TABLE t',
  'ATTACH TABLE t',
  'DETACH TABLE t',
  'RENAME TABLE t TO u',
  "BACKUP TABLE t TO File('written')",
  'SYSTEM SHUTDOWN',
  'SYSTEM STOP MERGES',
  'KILL QUERY WHERE 1',
  'USE system',
  'BEGIN TRANSACTION',
  'EXECUTE AS default SELECT 1',
  'GRANT ALL ON *.* TO default',
  'CREATE USER u',
  "COPY t TO 'written'",
  // Tables that access this process or list external resources.
  'SELECT * FROM system.stack_trace',
  'SELECT * FROM `system`.`stack_trace`',
  'SELECT 1 IN system.stack_trace',
  'SELECT * FROM system.symbols',
  'SELECT * FROM system.jemalloc_profile_text',
  'SELECT * FROM system.certificates',
  'SELECT * FROM system.models',
  'SELECT * FROM system.dns_cache',
  'SELECT showCertificate()',
  'SELECT * FROM system.named_collections',
  'SHOW TABLES WHERE 1 IN (SELECT 1 FROM system.stack_trace)',
]

/** Allowed settings, which must not change how the statement is inspected. */
const disguises: readonly Record<string, string>[] = [
  {},
  { default_format: 'JSON', wait_end_of_query: '1' },
  { max_result_rows: '1', result_overflow_mode: 'break' },
  { limit: '1' },
  { offset: '2' },
]

test.each(escapes.map((sql) => [sql.replaceAll('\n', ' '), sql]))('refuses %s', async (_, sql) => {
  for (const search of disguises) {
    const { status, code, text } = await query(servers.readOnly, sql, { search })
    expect(status).toBeGreaterThanOrEqual(400)
    expect(code).not.toBeNull()
    expect(text.replaceAll(sql, '')).not.toContain(`${host}\n`)
    expect(text).not.toContain(secret)
  }
})

test.each([
  [
    '{f:Identifier}',
    { sql: "SELECT arrayMap({f:Identifier}, ['/etc/hostname'])", param_f: 'file' },
  ],
  [
    'APPLY',
    { sql: "SELECT * APPLY {f:Identifier} FROM (SELECT '/etc/hostname')", param_f: 'file' },
  ],
  ['a table', { sql: 'SELECT * FROM {t:Identifier}', param_t: '/etc/hostname' }],
  ['a closed table', { sql: 'SELECT * FROM system.{t:Identifier}', param_t: 'stack_trace' }],
  [
    'hidden',
    { sql: 'SHOW TABLES WHERE 1 IN (SELECT 1 FROM {t:Identifier})', param_t: 'system.symbols' },
  ],
  ['a format', { sql: 'SELECT 1', default_format: 'CSV SETTINGS readonly = 0' }],
  ['an id', { sql: 'SELECT 1', query_id: "x', readonly = '0\n" }],
  ['a database', { sql: 'SELECT * FROM stack_trace', database: 'system' }],
  ['a database’s name', { sql: 'SELECT 1', database: 'system`; SET readonly = 0; SELECT `' }],
])('refuses an escape by parameter: %s', async (_, { sql, ...search }) => {
  const { status, text } = await query(servers.readOnly, sql, { search })
  expect(status).toBeGreaterThanOrEqual(400)
  expect(text).not.toContain(host)
})

test.each([
  ['readonly', '0'],
  ['allow_introspection_functions', '1'],
  ['format_schema', '/etc/hostname'],
  ['output_format_schema', 'written'],
  ['format_template_row', '/etc/hostname'],
  ['dialect', 'prql'],
  ['allow_ddl', '1'],
  ['additional_table_filters', "{'t': '1'}"],
  ['implicit_select', '1'],
  ["x = '1', readonly", '0'],
])('rejects the setting %s = %s', async (name, value) => {
  const { status } = await query(servers.readOnly, 'SELECT 1', { search: { [name]: value } })
  const { text } = await query(servers.readOnly, "SELECT getSetting('readonly')")
  expect(status).toBeGreaterThanOrEqual(400)
  expect(text).toBe('1\n')
})

test.each([
  ['max_memory_usage', '0'],
  ['max_memory_usage', '2G'],
  ['max_memory_usage', '99999999999999'],
  ['max_execution_time', '0'],
  ['max_execution_time', '34'],
  ['max_execution_time', '1e9'],
  ['max_threads', '2'],
  ['max_threads', 'auto'],
  ['readonly', '2'],
])('lowers the setting %s = %s to its bound', async (name, value) => {
  const sql = `SELECT getSetting('${name}')`
  const bound = (await query(servers.readOnly, sql)).text
  expect((await query(servers.readOnly, sql, { search: { [name]: value } })).text).toBe(bound)
  if (name === 'readonly') return
  const literal = `SETTINGS ${name} = '${value}'`
  expect((await query(servers.readOnly, `${sql} ${literal}`)).text).toBe(bound)
  const nested = `SELECT * FROM (${sql} ${literal})`
  expect((await query(servers.readOnly, nested)).text).toBe(bound)
})

test.each([
  ['async_insert', '1'],
  ['wait_for_async_insert', '0'],
  ['log_comment', 'mine'],
  ['session_id', 's'],
  ['role', 'reader'],
  ['max_final_threads', '16'],
  ['max_bytes_before_external_sort', '1'],
  ['connect_timeout', '30'],
  ['a_setting_of_a_later_version', '1'],
])('ignores the setting %s', async (name, value) => {
  const sql = "SELECT getSetting('max_final_threads'), getSetting('async_insert')"
  const usual = await query(servers.readOnly, sql)
  const given = await query(servers.readOnly, sql, { search: { [name]: value } })
  expect(given.text).toBe(usual.text)
  expect(given.status).toBe(200)
})

test('refuses escapes in every case, spacing and comment', async () => {
  const gap = fc.constantFrom(' ', '\n', ' /**/ ', '/* ( */', " -- '\n", '\t', ' # x\n')
  const known = fc.constantFrom(...escapes.filter((sql) => sql.includes('file(')))
  const seed = fc.tuple(known, fc.infiniteStream(gap), fc.infiniteStream(fc.boolean()))
  const disguise = ([sql, gaps, shouts]: [string, Iterator<string>, Iterator<boolean>]) =>
    [...toTokens(sql)]
      .map(({ kind, start, end }) => {
        const text = sql.slice(start, end)
        const isLoud = kind === 'word' && shouts.next().value
        return `${gaps.next().value}${isLoud ? text.toUpperCase() : text}`
      })
      .join('')
  await fc.assert(
    fc.asyncProperty(seed, async (parts) => {
      const { status, text } = await query(servers.readOnly, disguise(parts))
      expect(status).toBeGreaterThanOrEqual(400)
      expect(text).not.toContain(`${host}\\n`)
    }),
    { numRuns: 300 },
  )
})

test('has kept its data and written nothing after all attempts', async () => {
  const { text } = await query(servers.readOnly, 'SELECT a, s FROM t')
  expect(text).toBe('1\tone\n')
  expect(readdirSync(servers.folder).sort()).toEqual(['chdb', 'secret.csv'])
  expect(readdirSync('.')).not.toContain('written')
})

test.each([
  'SELECT a, count() FROM t GROUP BY a WITH TOTALS',
  'WITH x AS (SELECT a FROM t) SELECT * FROM x',
  "SELECT format('{}-{}', s, 'file') FROM t",
  "SELECT s = 'file' OR s = 'SETTINGS readonly = 0' FROM t -- file('/etc/hostname')",
  'SELECT * EXCEPT s APPLY sum FROM t',
  'SELECT sumIf(a, a > 1), quantile(0.5)(a), argMax(s, a) FROM t',
  'SELECT a, row_number() OVER w FROM t WINDOW w AS (ORDER BY a)',
  'SELECT * FROM system.numbers LIMIT 3',
  'SELECT name FROM system.tables',
  "SHOW TABLES LIKE 't'",
  'SELECT * FROM numbers(3)',
  'WITH x AS (SELECT 1 AS b) SELECT a IN x FROM t, x',
  'SELECT a GLOBAL IN (SELECT * FROM numbers(3)) FROM t',
  'SELECT sum(zero) FROM zeros_mt(3 + 4)',
  "SELECT * FROM values('x UInt8', 1, 2)",
  'SELECT * FROM view(SELECT a FROM t)',
  'SELECT * FROM zeros(3)',
  'SELECT * FROM generateSeries(1, 5)',
  'SELECT * FROM generate_series(1, 5, 2)',
  "SHOW SETTINGS LIKE 'max_threads'",
  "SHOW CHANGED SETTINGS ILIKE '%memory%'",
  'SELECT a FROM t SETTINGS max_threads = 64, async_insert = 1, output_format_json_quote_64bit_integers = true',
  'SELECT * FROM (SELECT 1 SETTINGS join_use_nulls = 1, max_threads = 64)',
  'SELECT * FROM (SELECT 1 SETTINGS connect_timeout = 1) SETTINGS final = 1',
  'SELECT 1 FORMAT JSON SETTINGS max_execution_time = 10',
  'SELECT 1 UNION ALL (SELECT 2 SETTINGS max_threads = 64)',
  'EXPLAIN SELECT 1 SETTINGS max_threads = 64',
  'SHOW CREATE TABLE t',
  'SHOW COLUMNS FROM t',
  'SHOW PROCESSLIST',
  'SHOW DATABASES',
  'DESCRIBE TABLE t',
  'DESCRIBE (SELECT a FROM t)',
  'EXISTS TABLE t',
  'EXPLAIN header = 1, actions = 1 SELECT a FROM t',
  'EXPLAIN AST SELECT a FROM t',
  'EXPLAIN indexes = 1 SELECT a FROM t WHERE a = 1',
  'SELECT 1 UNION ALL SELECT 2 INTERSECT SELECT 2',
  "SELECT toTypeName(tuple(1, 'a')), [1, 2][1], map('a', 1)['a']",
  'SELECT * FROM information_schema.tables',
])('answers %s', async (sql) => {
  const { status, text } = await query(servers.readOnly, sql)
  expect(text).not.toContain('DB::Exception')
  expect(status).toBe(200)
})
