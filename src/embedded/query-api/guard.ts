import type { Parameters } from '../chdb/connection.ts'
import { createQueryError } from '../chdb/exceptions.ts'
import type { Statement } from './statement.ts'
import type { Token } from './tokens.ts'

/**
 * Throws QueryError unless the statement only reads tables of this ClickHouse. The setting
 * `readonly` applies too, but is not enough: a SETTINGS clause in a subquery lifts it, DESCRIBE of
 * a table function and the function file() read files under it, and INTO OUTFILE writes them. The
 * check uses the syntax tree. The tree omits some expressions (the condition of SHOW, the lambda of
 * APPLY), so the tokens of the statement, as ClickHouse formats it, are checked too.
 */
export function assertHarmless(inspected: Inspected): void {
  assertReading(inspected.tree)
  for (const line of inspected.tree) assertHarmlessNode(line.trim(), inspected.tableFunctions)
  assertNoPathAfterIn(inspected.tree)
  assertHarmlessWords(inspected)
}

/**
 * Throws QueryError unless chDB's parser classifies the statement as a read. Call it first: only a
 * read may be run through EXPLAIN AST.
 */
export function assertRead(statement: Statement): void {
  if (statement.kind !== 'read')
    throw createQueryError('READONLY', 'Cannot execute query in readonly mode')
}

export type Inspected = {
  statement: Statement
  /** EXPLAIN AST of the statement's head, with its parameters substituted. */
  tree: readonly string[]
  parameters: Parameters
  /** Names of all table functions, in lower case. */
  tableFunctions: ReadonlySet<string>
}

/**
 * Functions that access something outside the tables: files, models, sources of dictionaries, other
 * services, process memory; or that take a table name as text, which may be the name of a file.
 */
const outwardFunctions = new Set([
  'file',
  'hascolumnintable',
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
 * Tables that interrupt all threads of this process, read its memory, or list external resources.
 */
const closedTables = new Set([
  'stack_trace',
  'symbols',
  'jemalloc_bins',
  'jemalloc_profile_text',
  'jemalloc_stats',
  'certificates',
  'iceberg_files',
  'iceberg_history',
  'named_collections',
  'remote_data_paths',
  'user_directories',
  'zookeeper',
])

/** Only reads, no settings except those of EXPLAIN, and no function in place of a table. */
function assertReading(tree: readonly string[]): void {
  const [root = '', ...below] = tree
  const explained = root.startsWith('Explain ') ? below.filter((line) => /^ \S/.test(line)) : []
  const statements = [root, ...explained.filter((line) => line !== ' Set')]
  if (!statements.every((line) => readingNode.test(line.trim())))
    throw createQueryError(
      'READONLY',
      'Only SELECT, SHOW, DESCRIBE, EXPLAIN and EXISTS are allowed here',
    )
  if (tree.some((line) => /^ +Set$/.test(line) && !explained.includes(line)))
    throw createSettingsError()
  const isFunction = (line: string | undefined) => line?.trim().startsWith('Function ')
  const isTable = (line: string) => line.trim().startsWith('TableExpression')
  if (tree.some((line, index) => isTable(line) && isFunction(tree[index + 1])))
    throw createQueryError('ACCESS_DENIED', 'Table functions are not available here')
}

const readingNode =
  /^(SelectWithUnionQuery|SelectIntersectExceptQuery|Explain |Describe|Exists|Show|SHOW )/

function assertHarmlessNode(node: string, tableFunctions: ReadonlySet<string>): void {
  const [type, name = ''] = node.split(' ', 2)
  if (type === 'Function') assertHarmlessCall(name, tableFunctions)
  if (type === 'Identifier' || type === 'TableIdentifier') assertHarmlessName(name)
  if (type === 'TableIdentifier') assertNoPath(node)
}

const inNode = /^ *Function (global)?(not)?(null)?in(ignoreset)? /i

/**
 * A lone identifier after IN may name a table. Elsewhere it names a column or an alias, and may
 * hold anything.
 */
function assertNoPathAfterIn(tree: readonly string[]): void {
  for (const [index, line] of tree.entries()) {
    const right = inNode.test(line) ? toLastArgument(tree, index) : ''
    if (right.startsWith('Identifier ')) assertNoPath(right)
  }
}

function toLastArgument(tree: readonly string[], call: number): string {
  const depth = toDepth(tree[call]!)
  let last = ''
  for (let at = call + 1; at < tree.length && toDepth(tree[at]!) > depth; at += 1)
    if (toDepth(tree[at]!) === depth + 2) last = tree[at]!.trim()
  return last
}

const toDepth = (line: string) => line.search(/\S/)

/** chDB's default database also exposes every file, under its path as the table name. */
function assertNoPath(name: string): void {
  if (/[/\\:*?]/.test(name)) throw createQueryError('ACCESS_DENIED', 'Files are not available here')
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
  for (const [index, token] of tokens.entries()) {
    if (token.kind === 'word' && token.value === 'SETTINGS') throw createSettingsError()
    if (token.kind === 'word' && token.value === 'OUTFILE')
      throw createQueryError('READONLY', 'INTO OUTFILE is not available here')
    if (token.kind !== 'word' && token.kind !== 'quoted') continue
    assertName(token.value)
    if (tokens[index + 1]?.value === '(') assertHarmlessCall(token.value, tableFunctions)
    if (isIdentifierParameter(tokens, index)) assertName(parameters[token.value] ?? '')
  }
}

/** The text after a line break in a name would look like a node of its own in the tree. */
function assertOneLine(name: string): void {
  if (name.includes('\n'))
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
  if (tableFunctions.has(lower) && !alsoScalar.has(lower))
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
    'A SETTINGS clause is not available here: pass settings as URL parameters',
  )
