import { type Settings, toAllowed, toLiteral, withClause } from './settings.ts'
import { applyEdits, type Statement } from './statement.ts'
import { isKeyword, type Token, toTokens } from './tokens.ts'

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
