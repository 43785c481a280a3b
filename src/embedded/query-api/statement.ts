import type { ChdbConnection, Classification, Parameters } from '../chdb/connection.ts'
import { createQueryError, QueryError } from '../chdb/exceptions.ts'
import { logCommentPrefix, toLiteral } from './settings.ts'
import { isKeyword, type Token, toTokens } from './tokens.ts'

/** One statement as chDB parses and formats it: on one line, without comments. */
export type Statement = {
  kind: Classification['kind']
  /** Everything before the FORMAT clause. */
  head: string
  format: string | undefined
  /** A SETTINGS clause after FORMAT, with the space before it. */
  tail: string
  tokens: readonly Token[]
}

/** Parses without running. Throws QueryError for a syntax error or more than one statement. */
export function parseStatement(connection: ChdbConnection, sql: string): Statement {
  const text = toCanonical(connection, sql)
  const { kind } = connection.classify(text)
  const tokens = [...toTokens(text)]
  const at = tokens.findLastIndex((token, index) => isFormatClause(token, tokens.slice(index + 1)))
  if (at === -1) return { kind, head: text, format: undefined, tail: '', tokens }
  const [clause, name] = [tokens[at]!, tokens[at + 1]!]
  // The format is inserted unquoted later, so it must be a plain name.
  if (!/^\w+$/.test(name.value))
    throw createQueryError('UNKNOWN_FORMAT', `Unknown format ${name.value}`)
  return {
    kind,
    head: text.slice(0, clause.start).trimEnd(),
    format: name.value,
    tail: text.slice(name.end),
    tokens,
  }
}

/** The syntax tree, one node a line, indented by depth, with parameters substituted. */
export function toSyntaxTree(
  connection: ChdbConnection,
  { head, parameters }: { head: string; parameters: Parameters },
): string[] {
  const { bytes } = connection.query(`EXPLAIN AST ${head}`, { parameters })
  return decoder.decode(bytes).split('\n').slice(0, -1)
}

const decoder = new TextDecoder()

function toCanonical(connection: ChdbConnection, sql: string): string {
  const parameters = { query: toParameter(sql) }
  const options = { format: 'TSVRaw', parameters }
  try {
    const { bytes } = connection.query('SELECT formatQuerySingleLine({query:String})', options)
    return decoder.decode(bytes).slice(0, -1)
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    // The error quotes the statement above, which the client has never sent.
    const text = error.message.replace(/[.:\s]*In scope SELECT formatQuery[\s\S]*\. \(/, '. (')
    throw new QueryError(error.code, text)
  }
}

/** A value as ClickHouse reads parameters: escaped as in TabSeparated. */
function toParameter(value: string): string {
  return value.replace(/[\\\t\n\r\0]/g, (character) => escapes[character] ?? character)
}

const escapes: Record<string, string> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\0': '\\0',
}

function isFormatClause(token: Token, [name, next]: readonly Token[]): boolean {
  const isClause = token.depth === 0 && isKeyword(token, 'FORMAT')
  // ClickHouse quotes a format whose name is a keyword, such as Values.
  if (!isClause || (name?.kind !== 'word' && name?.kind !== 'quoted')) return false
  return next === undefined || isKeyword(next, 'SETTINGS')
}

/**
 * Rewrites system.processes and the condition of KILL QUERY so that `query_id` is the id that the
 * client gave. chDB generates ids of its own; the client's id is stored in the setting
 * `log_comment`.
 */
export function withClientIds(text: string, tokens: readonly Token[]): string {
  const isKill = isKeyword(tokens[0], 'KILL')
  const edits = tokens.flatMap((token, index) => {
    if (isKill) return isName(token, 'query_id') ? [{ ...token, replacement: clientId }] : []
    return isProcesses(tokens, index) ? [toTableEdit(tokens, index)] : []
  })
  return edits.reduceRight(
    (edited, { start, end, replacement }) =>
      edited.slice(0, start) + replacement + edited.slice(end),
    text,
  )
}

const comment = "Settings['log_comment']"
const prefix = toLiteral(logCommentPrefix)
const clientId =
  `if(startsWith(${comment}, ${prefix}), ` +
  `substring(splitByChar('\\n', ${comment})[1], ${logCommentPrefix.length + 1}), query_id)`
const table = `(SELECT * REPLACE(${clientId} AS query_id) FROM system.processes)`

const isName = (token: Token | undefined, name: string) =>
  (token?.kind === 'word' || token?.kind === 'quoted') && token.value === name

/** Whether `system.processes` starts at this token, in the position of a table. */
function isProcesses(tokens: readonly Token[], index: number): boolean {
  return (
    isName(tokens[index], 'system') &&
    tokens[index + 1]?.value === '.' &&
    isName(tokens[index + 2], 'processes') &&
    ['FROM', 'JOIN', ','].includes(tokens[index - 1]?.value ?? '')
  )
}

function toTableEdit(tokens: readonly Token[], index: number) {
  const alias = isKeyword(tokens[index + 3], 'AS') ? '' : ' AS processes'
  return {
    start: tokens[index]!.start,
    end: tokens[index + 2]!.end,
    replacement: `${table}${alias}`,
  }
}
