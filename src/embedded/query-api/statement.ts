import type { Classification, Connection, Parameters } from '../chdb/connection.ts'
import { QueryError, refusal } from '../chdb/exceptions.ts'
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
export function toParameter(value: string): string {
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
