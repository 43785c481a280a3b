import type { Parameters } from '../chdb/connection.ts'
import { refusal } from '../chdb/exceptions.ts'
import type { Statement } from './statement.ts'
import type { Token } from './tokens.ts'

/**
 * Throws unless the statement reads tables of this engine and nothing else. The engine's own `readonly` holds as well,
 * and is not enough: a SETTINGS clause inside a subquery lifts it, DESCRIBE of a table function and the function file()
 * read files under it, and INTO OUTFILE writes them.
 * What the tree says is decided by the tree. It leaves some expressions out (the condition of SHOW, the lambda of
 * APPLY), so the words of the statement, as the engine wrote it, are looked at too.
 */
export function assertHarmless(inspected: Inspected): void {
  assertReading(inspected.tree)
  for (const line of inspected.tree) assertHarmlessNode(line.trim(), inspected.tableFunctions)
  assertNoPathBehindIn(inspected.tree)
  assertHarmlessWords(inspected)
}

/** Throws unless the engine's parser calls it a read. Comes first: only a read may be asked for its tree. */
export function assertRead(statement: Statement): void {
  if (statement.kind !== 'read') throw refusal('READONLY', 'Cannot execute query in readonly mode')
}

export type Inspected = {
  statement: Statement
  /** EXPLAIN AST of the statement's head, its parameters filled in. */
  tree: readonly string[]
  parameters: Parameters
  /** Names of all table functions, in lower case. */
  tableFunctions: ReadonlySet<string>
}

/**
 * Functions that reach out of the engine: to files, models, dictionaries' sources, other services, its own memory; or
 * that take the name of a table as a text, which may be a file's.
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

/** Tables that interrupt every thread of this process, read its memory, or list what lies outside the engine. */
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

/** Throws unless the tree is of a read, without settings but EXPLAIN's own, and without a function as a table. */
function assertReading(tree: readonly string[]): void {
  const [root = '', ...below] = tree
  const explained = root.startsWith('Explain ') ? below.filter((line) => /^ \S/.test(line)) : []
  const statements = [root, ...explained.filter((line) => line !== ' Set')]
  if (!statements.every((line) => readingNode.test(line.trim())))
    throw refusal('READONLY', 'Only SELECT, SHOW, DESCRIBE, EXPLAIN and EXISTS are answered here')
  if (tree.some((line) => /^ +Set$/.test(line) && !explained.includes(line)))
    throw settingsRefusal()
  const isFunction = (line: string | undefined) => line?.trim().startsWith('Function ')
  const isTable = (line: string) => line.trim().startsWith('TableExpression')
  if (tree.some((line, index) => isTable(line) && isFunction(tree[index + 1])))
    throw refusal('ACCESS_DENIED', 'Table functions are not available here')
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

/** What stands there alone may be a table's name. Elsewhere it is a column's or an alias, and may hold anything. */
function assertNoPathBehindIn(tree: readonly string[]): void {
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

/** The engine's default database also holds every file, under its path. */
function assertNoPath(name: string): void {
  if (/[/\\:*?]/.test(name)) throw refusal('ACCESS_DENIED', 'Files are not available here')
}

function assertHarmlessWords({ statement, tree, parameters, tableFunctions }: Inspected): void {
  const { tokens } = statement
  // Of these statements the tree does not show every table.
  const namesTables = !/^(Select|Explain)/.test(tree[0] ?? '')
  const assertName = (name: string) => {
    assertOneLine(name)
    if (namesTables) assertNoPath(name)
    assertHarmlessName(name)
  }
  for (const [index, token] of tokens.entries()) {
    if (token.kind === 'word' && token.value === 'SETTINGS') throw settingsRefusal()
    if (token.kind === 'word' && token.value === 'OUTFILE')
      throw refusal('READONLY', 'INTO OUTFILE is not available here')
    if (token.kind !== 'word' && token.kind !== 'quoted') continue
    assertName(token.value)
    if (tokens[index + 1]?.value === '(') assertHarmlessCall(token.value, tableFunctions)
    if (isIdentifierParameter(tokens, index)) assertName(parameters[token.value] ?? '')
  }
}

/** The rest of such a name would pass for a node of its own in the tree. */
function assertOneLine(name: string): void {
  if (name.includes('\n'))
    throw refusal('ACCESS_DENIED', 'Names with line breaks are not available here')
}

/** `{name:Identifier}`, seen from its name. */
function isIdentifierParameter(tokens: readonly Token[], index: number): boolean {
  return (
    tokens[index - 1]?.value === '{' &&
    tokens[index + 1]?.value === ':' &&
    tokens[index + 2]?.value === 'Identifier'
  )
}

/** These are functions of a value besides. As tables, the tree shows them where a table stands. */
const alsoScalar = new Set(['format', 'fuzzquery'])

function assertHarmlessCall(name: string, tableFunctions: ReadonlySet<string>): void {
  const lower = name.toLowerCase()
  if (tableFunctions.has(lower) && !alsoScalar.has(lower))
    throw refusal('ACCESS_DENIED', `The table function ${name} is not available here`)
  assertHarmlessName(name)
}

/** A function may be named without a call: as the argument of APPLY or arrayMap, or by a parameter. */
function assertHarmlessName(compound: string): void {
  for (const name of [compound, ...compound.split('.')]) {
    const lower = name.toLowerCase()
    if (outwardFunctions.has(lower) || /^dict(get|has|isin)/.test(lower))
      throw refusal('ACCESS_DENIED', `The function ${name} is not available here`)
    if (closedTables.has(lower))
      throw refusal('ACCESS_DENIED', `The table system.${name} is not available here`)
  }
}

const settingsRefusal = () =>
  refusal('READONLY', 'A SETTINGS clause is not available here: give settings as URL parameters')
