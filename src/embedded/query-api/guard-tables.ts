import type { Parameters } from '../chdb/connection.ts'
import { createQueryError } from '../chdb/exceptions.ts'
import type { Statement } from './statement.ts'
import { isKeyword, type Token } from './tokens.ts'

export type Inspected = {
  statement: Statement
  /** EXPLAIN AST of the statement's head, with its parameters substituted. */
  tree: readonly string[]
  parameters: Parameters
  /** Names of all table functions, in lower case. */
  tableFunctions: ReadonlySet<string>
  /** Whether this is a table, and not a file. `name` may start with a database. */
  isTable(name: string): boolean
}

export type Verdict = {
  /** EXISTS of a table that does not exist. chDB would say that a file of this name exists. */
  isAbsent: boolean
  /**
   * Names that may stand for a common table expression, a column, or a table. If none exists, chDB's
   * error depends on whether there is a file of this name.
   */
  unsure: readonly string[]
}

/**
 * chDB's default database also exposes every file, under its path as the table name. Throws
 * QueryError for a table that does not exist, whether a file has its name or not.
 */
export function judgeTables({ tree, statement, isTable }: Inspected): Verdict {
  const root = tree[0] ?? ''
  const unsure = new Set(findNamesAfterIn(tree).filter((name) => !isTable(name)))
  for (const name of unsure) assertNoPath(name)
  const expressions = findTableExpressions(statement.tokens)
  for (const name of findTables(tree)) {
    if (isTable(name)) continue
    assertNoPath(name)
    if (!expressions.has(name)) throw createUnknownTableError(name)
    unsure.add(name)
  }
  if (!/^(Exists|ShowCreate)/.test(root) || root.includes('DatabaseQuery'))
    return { isAbsent: false, unsure: [...unsure] }
  const parts = tree.slice(1).map((line) => /^ Identifier (.*)$/.exec(line)?.[1] ?? '')
  const name = parts.join('.')
  if (isTable(name)) return { isAbsent: false, unsure: [] }
  if (!root.startsWith('Exists')) throw createUnknownTableError(name)
  assertNoPath(name)
  return { isAbsent: true, unsure: [] }
}

const createUnknownTableError = (name: string) =>
  createQueryError('UNKNOWN_TABLE', `Unknown table expression identifier '${name}'`)

const findTables = (tree: readonly string[]) =>
  tree.flatMap((line) => toName(/^ *TableIdentifier (.*)$/.exec(line)?.[1]))

/** Without the alias that the tree shows after a name. */
const toName = (text: string | undefined) =>
  text === undefined ? [] : [text.replace(/ \(alias [^()]*\)$/, '')]

/** Plain names that WITH may define: `name AS (`. */
function findTableExpressions(tokens: readonly Token[]): ReadonlySet<string> {
  const names = tokens.filter(({ value }, index) => {
    const isMaterialized = isKeyword(tokens[index + 2], 'MATERIALIZED')
    const opening = tokens[index + (isMaterialized ? 3 : 2)]
    return /^\w+$/.test(value) && isKeyword(tokens[index + 1], 'AS') && opening?.value === '('
  })
  return new Set(names.map(({ value }) => value))
}

const inNode = /^ *Function (global)?(not)?(null)?in(ignoreset)? /i

/**
 * A lone identifier after IN may name a table. Elsewhere it names a column or an alias, and may
 * hold anything. One pass: a search below each IN would take quadratic time.
 */
function findNamesAfterIn(tree: readonly string[]): string[] {
  const names: string[] = []
  /** The INs above the current line, the innermost last, each with its last argument so far. */
  const open: { depth: number; last: string }[] = []
  const closeDownTo = (depth: number) => {
    while (open.length > 0 && open.at(-1)!.depth >= depth) {
      const name = /^Identifier (.*)$/.exec(open.pop()!.last)?.[1]
      names.push(...toName(name))
    }
  }
  for (const line of tree) {
    const depth = line.search(/\S/)
    closeDownTo(depth)
    const parent = open.at(-1)
    if (parent?.depth === depth - 2) parent.last = line.trim()
    if (inNode.test(line)) open.push({ depth, last: '' })
  }
  closeDownTo(0)
  return names
}

export function assertNoPath(name: string): void {
  if (/[/\\:*?]/.test(name)) throw createQueryError('ACCESS_DENIED', 'Files are not available here')
}
