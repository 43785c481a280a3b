import type { Classification } from '../chdb/connection.ts'
import { createQueryError } from '../chdb/exceptions.ts'
import { assertNoPath, type Inspected, judgeTables, type Verdict } from './guard-tables.ts'
import { findSettings } from './statement.ts'
import { isKeyword, type Token, toTokens } from './tokens.ts'

/**
 * Throws QueryError unless the statement only reads tables of this ClickHouse. The setting
 * `readonly` applies too, but is not enough: a SETTINGS clause in a subquery lifts it, DESCRIBE of
 * a table function and the function file() read files under it, and INTO OUTFILE writes them. The
 * check uses the syntax tree. The tree omits some expressions (the condition of SHOW, the lambda of
 * APPLY), so the tokens of the statement, as ClickHouse formats it, are checked too.
 */
export function assertHarmless(inspected: Inspected): Verdict {
  assertReading(inspected)
  const verdict = judgeTables(inspected)
  for (const line of inspected.tree) assertHarmlessNode(line.trim(), inspected.tableFunctions)
  assertHarmlessWords(inspected)
  return verdict
}

/** ClickHouse's default of `max_query_size`. */
const sqlLengthMax = 256 * 1024
/** ClickHouse searches the whole statement for the end of each heredoc, also of one that has none. */
const heredocsMax = 100

/**
 * Throws QueryError for a statement that ClickHouse's parser would need too long for: no call of the
 * parser can be cancelled. Measured: 9.5 s for 256 KiB of unclosed heredocs, 3.5 s without.
 */
export function assertParsable(sql: string): void {
  if (sql.length > sqlLengthMax)
    throw createQueryError('SYNTAX_ERROR', `Max query size exceeded: ${sqlLengthMax} characters`)
  if (!sql.includes('$')) return
  let heredocs = 0
  for (const { start } of toTokens(sql)) if (sql[start] === '$') heredocs += 1
  if (heredocs > heredocsMax)
    throw createQueryError('SYNTAX_ERROR', `More than ${heredocsMax} heredocs`)
}

/**
 * Throws QueryError unless chDB's parser classifies the statement as a read. Call it first: only a
 * read may be run through EXPLAIN AST.
 */
export function assertRead({ kind }: Pick<Classification, 'kind'>): void {
  if (kind !== 'read') throw createQueryError('READONLY', 'Cannot execute query in readonly mode')
}

/**
 * Functions that access something outside the tables: files, models, sources of dictionaries, other
 * services, process memory; or that take a table name as text, which may be the name of a file.
 */
const outwardFunctions = new Set([
  'file',
  'hascolumnintable',
  'joinget',
  'joingetornull',
  'evalmlmethod',
  'getclienthttpheader',
  'logtrace',
  'showcertificate',
  'zookeepersessionuptime',
  'catboostevaluate',
  'aiclassify',
  'aiembed',
  'aiextract',
  'aigenerate',
  'aitranslate',
  'generateserialid',
  'addresstoline',
  'addresstolinewithinlines',
  'addresstosymbol',
])

/**
 * Tables that interrupt all threads of this process, read its memory, start another process, or list
 * external resources.
 */
const closedTables = new Set([
  'stack_trace',
  'symbols',
  'jemalloc_bins',
  'jemalloc_profile_text',
  'jemalloc_stats',
  'certificates',
  'dns_cache',
  'iceberg_files',
  'iceberg_history',
  'models',
  'named_collections',
  'remote_data_paths',
  'user_directories',
  'zookeeper',
])

/** Only reads, no settings that were not examined, and no function in place of a table. */
function assertReading({ tree, statement, tableFunctions }: Inspected): void {
  const [root = '', ...below] = tree
  const isExplain = root.startsWith('Explain ')
  const isOwnSetting = (line: string) => isExplain && line === ' Set'
  const explained = isExplain ? below.filter((line) => /^ \S/.test(line)) : []
  const statements = [root, ...explained.filter((line) => !isOwnSetting(line))]
  if (!statements.every((line) => readingNode.test(line.trim())))
    throw createQueryError(
      'READONLY',
      'Only SELECT, SHOW, DESCRIBE, EXPLAIN and EXISTS are allowed here',
    )
  const settings = tree.filter((line) => /^ +Set$/.test(line) && !isOwnSetting(line))
  if (settings.length !== findSettings(statement.tokens).length) throw createSettingsError()
  const isTable = (line: string) => line.trim().startsWith('TableExpression')
  for (const [index, line] of tree.entries()) {
    const name = isTable(line) ? /^ *Function (\S+)/.exec(tree[index + 1] ?? '')?.[1] : undefined
    if (name !== undefined && !isHarmlessTable(name, tableFunctions))
      throw createQueryError('ACCESS_DENIED', `The table function ${name} is not available here`)
  }
}

/** Table functions that read nothing but their arguments. */
const harmlessTableFunctions = new Set([
  ...['numbers', 'numbers_mt', 'zeros', 'zeros_mt', 'generateseries', 'generate_series'],
  ...['values', 'view', 'null'],
])

const isHarmlessTable = (name: string, tableFunctions: ReadonlySet<string>) =>
  tableFunctions.has(name.toLowerCase()) && harmlessTableFunctions.has(name.toLowerCase())

const readingNode =
  /^(SelectWithUnionQuery|SelectIntersectExceptQuery|Explain |Describe|Exists|Show|SHOW )/

function assertHarmlessNode(node: string, tableFunctions: ReadonlySet<string>): void {
  const [type, name = ''] = node.split(' ', 2)
  if (type === 'Function') assertHarmlessCall(name, tableFunctions)
  if (type === 'Identifier' || type === 'TableIdentifier') assertHarmlessName(name)
}

function assertHarmlessWords({ statement, tree, parameters, tableFunctions }: Inspected): void {
  const { tokens } = statement
  // Other statements have tables that the tree does not show.
  const namesTables = !/^(Select|Explain)/.test(tree[0] ?? '')
  const assertName = (name: string) => {
    assertOneLine(name)
    if (namesTables) assertNoPath(name)
    assertHarmlessName(name)
  }
  const examined = new Set(findSettings(tokens).map(({ start }) => start))
  const shown = isKeyword(tokens[1], 'CHANGED') ? 2 : 1
  for (const [index, token] of tokens.entries()) {
    const isShown = index === shown && isKeyword(tokens[0], 'SHOW')
    if (token.kind === 'word' && token.value === 'SETTINGS' && !isShown)
      if (!examined.has(token.start)) throw createSettingsError()
    if (token.kind === 'word' && token.value === 'OUTFILE')
      throw createQueryError('READONLY', 'INTO OUTFILE is not available here')
    if (token.kind !== 'word' && token.kind !== 'quoted') continue
    assertName(token.value)
    if (tokens[index + 1]?.value === '(') assertHarmlessCall(token.value, tableFunctions)
    if (isIdentifierParameter(tokens, index)) assertName(parameters[token.value] ?? '')
  }
}

/**
 * The text after a line break in a name would look like a node of its own in the tree, and this end
 * of a name like an alias.
 */
function assertOneLine(name: string): void {
  if (name.includes('\n') || name.includes(' (alias '))
    throw createQueryError('ACCESS_DENIED', 'Names with line breaks are not available here')
}

/** Whether the token is the name in `{name:Identifier}`. */
function isIdentifierParameter(tokens: readonly Token[], index: number): boolean {
  return (
    tokens[index - 1]?.value === '{' &&
    tokens[index + 1]?.value === ':' &&
    tokens[index + 2]?.value === 'Identifier'
  )
}

/** Also names of ordinary functions. Their use as a table is visible in the tree. */
const alsoScalar = new Set(['format', 'fuzzquery'])

function assertHarmlessCall(name: string, tableFunctions: ReadonlySet<string>): void {
  const lower = name.toLowerCase()
  if (tableFunctions.has(lower) && !alsoScalar.has(lower) && !harmlessTableFunctions.has(lower))
    throw createQueryError('ACCESS_DENIED', `The table function ${name} is not available here`)
  assertHarmlessName(name)
}

/**
 * A function can be used without call syntax: as an argument of APPLY or arrayMap, or by a
 * parameter.
 */
function assertHarmlessName(compound: string): void {
  for (const name of [compound, ...compound.split('.')]) {
    const lower = name.toLowerCase()
    if (outwardFunctions.has(lower) || /^dict(get|has|isin)/.test(lower))
      throw createQueryError('ACCESS_DENIED', `The function ${name} is not available here`)
    if (closedTables.has(lower))
      throw createQueryError('ACCESS_DENIED', `The table system.${name} is not available here`)
  }
}

const createSettingsError = () =>
  createQueryError(
    'READONLY',
    'A SETTINGS clause may hold only names with plain values here: pass settings as URL parameters',
  )
