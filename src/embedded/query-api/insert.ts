import { isKeyword, type Token, toTokens } from './tokens.ts'

/** An INSERT whose rows follow its text: where the statement ends, what they are in, where they begin. */
export type InsertParts = { sql: string; format: string; dataStart: number }

/**
 * Splits `INSERT INTO t … FORMAT name` or `… VALUES` from the rows behind it; undefined for every other statement, such
 * as an INSERT that selects. `text` holds one byte a character, so that offsets count bytes.
 */
export function splitInsert(text: string): InsertParts | undefined {
  let before: Token | undefined
  let clause: Token | undefined
  for (const token of toTokens(text)) {
    if (!before && !isKeyword(token, 'INSERT')) return undefined
    if (clause) return toParts(text, clause, token)
    // After INTO, TABLE or a dot stands a name, whatever it looks like.
    const isClause = token.depth === 0 && token.kind === 'word' && !namesFollow(before)
    if (isClause && isKeyword(token, 'VALUES'))
      return { sql: text.slice(0, token.start), format: 'Values', dataStart: token.end }
    if (isClause && isKeyword(token, 'FORMAT')) clause = token
    if (isClause && selecting.some((keyword) => isKeyword(token, keyword))) return undefined
    before = token
  }
  return undefined
}

const selecting = ['SELECT', 'WITH', 'FROM', 'WATCH']

const namesFollow = (token: Token | undefined) =>
  isKeyword(token, 'INTO') || isKeyword(token, 'TABLE') || token?.value === '.'

/** Rows begin behind the format's name: spaces and one line end belong to neither. */
function toParts(text: string, clause: Token, name: Token): InsertParts {
  const gap = /^[ \t\f]*;?[ \t\f]*(\r?\n)?/.exec(text.slice(name.end, name.end + 256))?.[0] ?? ''
  return {
    sql: text.slice(0, clause.start),
    format: name.value,
    dataStart: name.end + gap.length,
  }
}
