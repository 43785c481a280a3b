/**
 * A token as ClickHouse's lexer splits SQL. `value` is the content of a quoted identifier or
 * string, else the text. `depth` counts the enclosing parentheses and brackets. `start` and `end`
 * are offsets.
 */
export type Token = {
  kind: 'word' | 'quoted' | 'string' | 'number' | 'mark'
  value: string
  depth: number
  start: number
  end: number
}

/**
 * The tokens of `sql` without white space and comments. Total: an unclosed token runs to the end.
 * The time grows with the length only, for every text.
 */
export function* toTokens(sql: string): Generator<Token> {
  const closeHeredoc = createHeredocCloser(sql)
  let depth = 0
  for (let start = skipGap(sql, 0); start < sql.length; ) {
    const heredocEnd = sql[start] === '$' ? closeHeredoc(start) : undefined
    const end = heredocEnd ?? toEnd(sql, start)
    const text = sql.slice(start, end)
    const kind = heredocEnd === undefined ? toKind(text) : 'string'
    if (text === ')' || text === ']') depth -= 1
    const isQuoted = heredocEnd === undefined && (kind === 'quoted' || kind === 'string')
    yield { kind, value: isQuoted ? unquote(text) : text, depth, start, end }
    if (text === '(' || text === '[') depth += 1
    start = skipGap(sql, end)
  }
}

/** Whether the token is this keyword, in upper or lower case, and not a quoted name. */
export function isKeyword(token: Token | undefined, keyword: string): boolean {
  return token?.kind === 'word' && token.value.toUpperCase() === keyword
}

/** The first offset from `start` on that is neither white space nor a comment. */
function skipGap(sql: string, start: number): number {
  let at = start
  for (;;) {
    const end = toGapEnd(sql, at)
    if (end === at) return at
    at = end
  }
}

function toGapEnd(sql: string, at: number): number {
  if (sql.startsWith('/*', at)) return toOffsetAfter(sql, '*/', at + 2)
  if (sql.startsWith('--', at) || sql.startsWith('# ', at) || sql.startsWith('#!', at)) {
    const end = sql.indexOf('\n', at)
    return end === -1 ? sql.length : end
  }
  return matchEnd(/\s*/y, sql, at)
}

function toEnd(sql: string, start: number): number {
  const first = sql[start]!
  if (first === "'" || first === '"' || first === '`') return toQuoteEnd(sql, start, first)
  const end = matchEnd(/[A-Za-z_][\w$]*|\d[\w.]*/y, sql, start)
  return end === start ? start + 1 : end
}

function toQuoteEnd(sql: string, start: number, quote: string): number {
  for (let at = start + 1; at < sql.length; at += 1) {
    if (sql[at] === '\\') at += 1
    else if (sql[at] !== quote) continue
    else if (sql[at + 1] === quote) at += 1
    else return at + 1
  }
  return sql.length
}

function toKind(text: string): Token['kind'] {
  const first = text[0]!
  if (first === "'") return 'string'
  if (first === '"' || first === '`') return 'quoted'
  if (/[A-Za-z_]/.test(first)) return 'word'
  return /\d/.test(first) ? 'number' : 'mark'
}

/**
 * Finds the end of the heredoc `$tag$ … $tag$` that starts at an offset; undefined if none does. The
 * last place of each tag is listed once: else many unclosed tags would each be searched to the end.
 */
function createHeredocCloser(sql: string): (start: number) => number | undefined {
  let lastPlaces: Map<string, number> | undefined
  return (start) => {
    const tagEnd = sql.indexOf('$', start + 1) + 1
    if (tagEnd === 0) return undefined
    lastPlaces ??= toLastPlaces(sql)
    const tag = sql.slice(start, tagEnd)
    if ((lastPlaces.get(tag) ?? -1) < tagEnd) return undefined
    return toOffsetAfter(sql, tag, tagEnd)
  }
}

function toLastPlaces(sql: string): Map<string, number> {
  const places = new Map<string, number>()
  let start = sql.indexOf('$')
  while (start !== -1) {
    const end = sql.indexOf('$', start + 1)
    const tag = end === -1 ? '' : sql.slice(start, end + 1)
    if (/^\$\w*\$$/.test(tag)) places.set(tag, start)
    start = end
  }
  return places
}

function matchEnd(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}

function toOffsetAfter(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from)
  return at === -1 ? text.length : at + mark.length
}

function unquote(text: string): string {
  const content = text.slice(1, text.length > 1 && text.endsWith(text[0]!) ? -1 : undefined)
  return content.replace(
    /\\([\s\S])|(['"`])\2/g,
    (_, escaped: string | undefined, doubled: string) =>
      escaped === undefined ? doubled : (escapes[escaped] ?? escaped),
  )
}

const escapes: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  0: '\0',
}
