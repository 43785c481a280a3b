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
 */
export function* toTokens(sql: string): Generator<Token> {
  let depth = 0
  for (const match of sql.matchAll(pattern)) {
    const kind = kinds.find((candidate) => match.groups?.[candidate] !== undefined)
    if (kind === undefined) continue
    const text = match[0]
    if (text === ')' || text === ']') depth -= 1
    yield {
      kind: kind === 'heredoc' ? 'string' : kind,
      value: kind === 'quoted' || kind === 'string' ? unquote(text) : text,
      depth,
      start: match.index,
      end: match.index + text.length,
    }
    if (text === '(' || text === '[') depth += 1
  }
}

/** Whether the token is this keyword, in upper or lower case, and not a quoted name. */
export function isKeyword(token: Token | undefined, keyword: string): boolean {
  return token?.kind === 'word' && token.value.toUpperCase() === keyword
}

const kinds = ['heredoc', 'string', 'quoted', 'word', 'number', 'mark'] as const

const pattern = new RegExp(
  [
    String.raw`(?<skipped>\s+|--[^\n]*|#[ !][^\n]*|/\*[\s\S]*?(?:\*/|$))`,
    String.raw`(?<heredoc>\$(?<tag>\w*)\$[\s\S]*?\$\k<tag>\$)`,
    String.raw`(?<string>'(?:[^'\\]+|\\[\s\S]|'')*(?:'|$))`,
    String.raw`(?<quoted>"(?:[^"\\]+|\\[\s\S]|"")*(?:"|$)|${'`'}(?:[^${'`'}\\]+|\\[\s\S]|${'``'})*(?:${'`'}|$))`,
    String.raw`(?<word>[A-Za-z_][\w$]*)`,
    String.raw`(?<number>\d[\w.]*)`,
    String.raw`(?<mark>[\s\S])`,
  ].join('|'),
  'g',
)

function unquote(text: string): string {
  return text
    .slice(1, -1)
    .replace(/\\([\s\S])|(['"`])\2/g, (_, escaped: string | undefined, doubled: string) =>
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
