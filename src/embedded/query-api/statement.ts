import type { ChdbConnection, Classification, Parameters } from '../chdb/connection.ts'
import { createQueryError, QueryError } from '../chdb/exceptions.ts'
import {
  allowed,
  logCommentPrefix,
  type Settings,
  toAllowed,
  toLiteral,
  withClause,
} from './settings.ts'
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
  const at = tokens.findLastIndex((_, index) => isFormatClause(tokens, index))
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

function isFormatClause(tokens: readonly Token[], index: number): boolean {
  const [token, name, next] = [tokens[index], tokens[index + 1], tokens[index + 2]]
  const isClause = token?.depth === 0 && isKeyword(token, 'FORMAT')
  // ClickHouse quotes a format whose name is a keyword, such as Values.
  if (!isClause || (name?.kind !== 'word' && name?.kind !== 'quoted')) return false
  return next === undefined || isKeyword(next, 'SETTINGS')
}

type Edit = { start: number; end: number; replacement: string }

/** `edits` are in the order of the text and do not overlap. */
function applyEdits(text: string, edits: readonly Edit[]): string {
  let at = 0
  const parts = edits.map(({ start, end, replacement }) => {
    const part = text.slice(at, start) + replacement
    at = end
    return part
  })
  return parts.join('') + text.slice(at)
}

/**
 * Rewrites system.processes, system.settings and the condition of KILL QUERY. In the first and last
 * `query_id` is the id that the client gave. chDB generates ids of its own; the client's id is stored in the setting
 * `log_comment`. Also rewrites the table function `zeros`, which chDB refuses in read-only mode.
 */
export function toExecutable(text: string, tokens: readonly Token[]): string {
  const isKill = isKeyword(tokens[0], 'KILL')
  const edits = tokens.flatMap((token, index) => {
    if (isKill) return isName(token, 'query_id') ? [{ ...token, replacement: clientId }] : []
    if (isReplaced(tokens, index)) return [toTableEdit(tokens, index)]
    return toZerosEdits(tokens, index)
  })
  return applyEdits(text, edits)
}

const comment = "Settings['log_comment']"
const prefix = toLiteral(logCommentPrefix)
const clientId =
  `if(startsWith(${comment}, ${prefix}), ` +
  `substring(splitByChar('\\n', ${comment})[1], ${logCommentPrefix.length + 1}), query_id)`
/**
 * Tables of the database system that are replaced. Drivers refuse a setting that system.settings
 * calls read-only, as all are here; those that a request may change are shown as changeable.
 */
const replacements: Readonly<Record<string, string>> = {
  processes: `(SELECT * REPLACE(${clientId} AS query_id) FROM system.processes)`,
  settings:
    `(SELECT * REPLACE(if(match(name, ${toLiteral(allowed.source)}), toUInt8(0), readonly) ` +
    'AS readonly) FROM system.settings)',
}

const isName = (token: Token | undefined, name: string) =>
  (token?.kind === 'word' || token?.kind === 'quoted') && token.value === name

/** Whether the name of a replaced table starts at this token, in the position of a table. */
function isReplaced(tokens: readonly Token[], index: number): boolean {
  const name = tokens[index + 2]
  return (
    isName(tokens[index], 'system') &&
    tokens[index + 1]?.value === '.' &&
    Object.keys(replacements).some((replaced) => isName(name, replaced)) &&
    isBeforeTable(tokens[index - 1])
  )
}

const isBeforeTable = (token: Token | undefined) =>
  ['FROM', 'JOIN', ','].includes(token?.value ?? '')

/** Bounds the search for the end of the argument of `zeros`. */
const zerosTokensMax = 16

function toZerosEdits(tokens: readonly Token[], index: number): Edit[] {
  const [token, opening] = [tokens[index]!, tokens[index + 1]]
  const isZeros = token.kind === 'word' && /^zeros(_mt)?$/i.test(token.value)
  if (!isZeros || opening?.value !== '(' || !isBeforeTable(tokens[index - 1])) return []
  const following = tokens.slice(index + 2, index + 2 + zerosTokensMax)
  const closing = following.find(({ value, depth }) => value === ')' && depth === opening.depth)
  if (closing === undefined) return []
  const replacement = 'view(SELECT toUInt8(0) AS zero FROM numbers'
  return [
    { start: token.start, end: token.end, replacement },
    { start: closing.start, end: closing.end, replacement: '))' },
  ]
}

function toTableEdit(tokens: readonly Token[], index: number) {
  const name = tokens[index + 2]!.value
  const alias = isKeyword(tokens[index + 3], 'AS') ? '' : ` AS ${name}`
  return {
    start: tokens[index]!.start,
    end: tokens[index + 2]!.end,
    replacement: `${replacements[name]}${alias}`,
  }
}

/**
 * The statement without its own SETTINGS clauses, whose settings are applied like those of the
 * request: as settings of the statement they would lift `readonly`. A clause of a subquery stays,
 * with the settings that are allowed. Throws QueryError for a refused setting.
 */
export function extractSettings(
  statement: Statement,
  settings: Settings,
): { statement: Statement; settings: Settings } {
  const clauses = findSettings(statement.tokens)
  if (clauses.length === 0) return { statement, settings }
  const own = clauses.filter(({ depth }) => depth === 0)
  const ownSettings = Object.assign({}, ...own.map(({ given }) => given))
  const edits = clauses
    .filter(({ end }) => end <= statement.head.length)
    .map(({ start, end, depth, given }) => {
      const kept = depth === 0 ? {} : toAllowed(given, settings)
      return { start, end, replacement: toClauseText(kept) }
    })
  const head = applyEdits(statement.head, edits).trimEnd()
  return {
    statement: { ...statement, head, tail: '', tokens: [...toTokens(head)] },
    settings: withClause(settings, ownSettings),
  }
}

/** `start` and `end` are offsets, from the keyword to the last value. */
type SettingsClause = { start: number; end: number; depth: number; given: Settings }

/** The SETTINGS clauses whose values are numbers, strings, true or false. */
export function findSettings(tokens: readonly Token[]): SettingsClause[] {
  return tokens.flatMap((token, index) =>
    isKeyword(token, 'SETTINGS') ? (toClause(tokens, index) ?? []) : [],
  )
}

function toClause(tokens: readonly Token[], index: number): SettingsClause | undefined {
  const { start, depth } = tokens[index]!
  const given: Record<string, string> = {}
  for (let at = index + 1; ; at += 1) {
    const [name, equals] = [tokens[at], tokens[at + 1]]
    if (name?.kind !== 'word' || equals?.value !== '=') return undefined
    const isNegative = tokens[at + 2]?.value === '-'
    at += isNegative ? 3 : 2
    const value = tokens[at]
    const text = value && toValue(value)
    if (value === undefined || text === undefined) return undefined
    given[name.value] = `${isNegative ? '-' : ''}${text}`
    at += 1
    if (tokens[at]?.value !== ',') return { start, end: value.end, depth, given }
  }
}

function toValue({ kind, value }: Token): string | undefined {
  if (kind === 'number' || kind === 'string') return value
  if (kind === 'word' && value.toUpperCase() === 'TRUE') return '1'
  return kind === 'word' && value.toUpperCase() === 'FALSE' ? '0' : undefined
}

function toClauseText(settings: Settings): string {
  const pairs = Object.entries(settings).map(([name, value]) => `${name} = ${toLiteral(value)}`)
  return pairs.length === 0 ? '' : `SETTINGS ${pairs.join(', ')}`
}
