import type { Classification, Connection, Parameters } from '../chdb/connection.ts'
import { QueryError, refusal } from '../chdb/exceptions.ts'
import { logCommentPrefix, toLiteral } from './settings.ts'
import { isKeyword, type Token, toTokens } from './tokens.ts'

/** One statement as the engine itself understands and writes it: on one line, without comments. */
export type Statement = {
  kind: Classification['kind']
  /** Everything before the FORMAT clause. */
  head: string
  format: string | undefined
  /** A SETTINGS clause that follows FORMAT, with the space before it. */
  tail: string
  tokens: readonly Token[]
}

/** Parses one statement. Throws QueryError: it does not parse, or there are several. Nothing is run. */
export function parseStatement(connection: Connection, sql: string): Statement {
  const text = toCanonical(connection, sql)
  const { kind } = connection.classify(text)
  const tokens = [...toTokens(text)]
  const at = tokens.findLastIndex((token, index) => isFormatClause(token, tokens.slice(index + 1)))
  if (at === -1) return { kind, head: text, format: undefined, tail: '', tokens }
  const [clause, name] = [tokens[at]!, tokens[at + 1]!]
  // It is put back unquoted, and must not bring more than a name.
  if (!/^\w+$/.test(name.value)) throw refusal('UNKNOWN_FORMAT', `Unknown format ${name.value}`)
  return {
    kind,
    head: text.slice(0, clause.start).trimEnd(),
    format: name.value,
    tail: text.slice(name.end),
    tokens,
  }
}

/** Its syntax tree, a node a line, each as deep as it is indented. Parameters stand for what they hold. */
export function toSyntaxTree(
  connection: Connection,
  { head, parameters }: { head: string; parameters: Parameters },
): string[] {
  const { bytes } = connection.query(`EXPLAIN AST ${head}`, { parameters })
  return decoder.decode(bytes).split('\n').slice(0, -1)
}

const decoder = new TextDecoder()

function toCanonical(connection: Connection, sql: string): string {
  const parameters = { query: toParameter(sql) }
  const options = { format: 'TSVRaw', parameters }
  try {
    const { bytes } = connection.query('SELECT formatQuerySingleLine({query:String})', options)
    return decoder.decode(bytes).slice(0, -1)
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    // The engine quotes the statement that asked; the client wants to read about its own.
    const text = error.message.replace(/[.:\s]*In scope SELECT formatQuery[\s\S]*\. \(/, '. (')
    throw new QueryError(error.code, text)
  }
}

/** A parameter's value as the engine reads it: escaped as in TabSeparated. */
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
  // A name that is a keyword too, such as Values, is quoted.
  if (!isClause || (name?.kind !== 'word' && name?.kind !== 'quoted')) return false
  return next === undefined || isKeyword(next, 'SETTINGS')
}

/**
 * A statement's text in which system.processes and KILL QUERY know the ids that clients gave their queries. The engine
 * gives every query an id of its own making; the client's travels in its settings.
 */
export function withClientIds(text: string, tokens: readonly Token[]): string {
  const isKill = isKeyword(tokens[0], 'KILL')
  const edits = tokens.flatMap((token, index) => {
    if (isKill) return isName(token, 'query_id') ? [{ ...token, by: clientId }] : []
    return isProcesses(tokens, index) ? [toTableEdit(tokens, index)] : []
  })
  return edits.reduceRight(
    (edited, { start, end, by }) => edited.slice(0, start) + by + edited.slice(end),
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

/** `system.processes` where a table stands, seen from its first word. */
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
  return { start: tokens[index]!.start, end: tokens[index + 2]!.end, by: `${table}${alias}` }
}
