import { type Body, openBody } from './body.ts'
import type { Query } from './launch.ts'
import type { Queries, QueryJob } from './queries.ts'
import type { QueryRequest } from './request.ts'
import { type Limits, type Mode, toQuerySettings } from './settings.ts'
import { isKeyword, type Token, toTokens } from './tokens.ts'

export type StartQueryOptions = {
  queries: Queries
  mode: Mode
  limits: Limits
  /** Limit of a statement, without the rows of an insert. */
  sqlBytesMax: number
}

/** Starts the statement of a request. Rejects with QueryError. */
export async function startQuery(
  options: StartQueryOptions,
  parsed: QueryRequest,
  request: Request,
): Promise<Query> {
  const { queries, mode, sqlBytesMax } = options
  const { signal } = request
  const body = openBody(request, parsed.isBodyCompressed)
  const prefix = Buffer.from(parsed.sql === '' ? '' : `${parsed.sql}\n`)
  const insert = mode === 'writable' ? await findRows(prefix, body) : undefined
  if (!insert) {
    const text = Buffer.concat([prefix, await body.rest(sqlBytesMax)]).toString()
    return queries.start(toJob(options, parsed, { sql: text }), signal)
  }
  const sql = Buffer.from(insert.sql, 'latin1').toString()
  const job = toJob(options, parsed, { sql, format: insert.format, isInsert: true })
  const query = await queries.start(job, signal)
  void sendRows({ query, body, signal, prefix, dataStart: insert.dataStart })
  return query
}

type JobStatement = Pick<QueryJob, 'sql'> & Partial<QueryJob>

function toJob(
  { mode, limits }: StartQueryOptions,
  parsed: QueryRequest,
  own: JobStatement,
): QueryJob {
  const { queryId, database, parameters, format, isGet, settings: given } = parsed
  const settings = toQuerySettings({ mode, limits, given, queryId, isGet })
  return { queryId, database, parameters, format, settings, isInsert: false, ...own }
}

/** Part of the body that is searched for the start of an insert's rows. */
const insertHeadBytesMax = 64 * 1024

/** Usually the URL holds the statement; then the insert starts before its rows arrive. */
async function findRows(prefix: Buffer, body: Body): Promise<InsertParts | undefined> {
  // latin1 has one character a byte, so offsets into the text are offsets into the bytes.
  const start = prefix.toString('latin1')
  const found = splitInsert(start)
  if (found) return found
  const head = await body.peek(insertHeadBytesMax)
  return splitInsert(start + Buffer.from(head).toString('latin1'))
}

type Rows = { query: Query; body: Body; signal: AbortSignal; prefix: Buffer; dataStart: number }

/** Passes the rows on as they arrive. Rows of a body that was cut off are not committed. */
async function sendRows({ query, body, signal, prefix, dataStart }: Rows): Promise<void> {
  try {
    await query.sendRows(prefix.subarray(dataStart))
    let skip = Math.max(0, dataStart - prefix.length)
    for (let chunk = await body.next(); chunk !== undefined; chunk = await body.next()) {
      await query.sendRows(chunk.subarray(skip))
      skip = Math.max(0, skip - chunk.length)
    }
    if (signal.aborted) query.abandon()
    else query.commit()
  } catch {
    query.abandon()
  }
}

/** An INSERT whose rows follow its text. `dataStart` is the offset of the rows. */
type InsertParts = { sql: string; format: string; dataStart: number }

/**
 * Splits `INSERT INTO t … FORMAT name` or `… VALUES` from the rows after it. Undefined for every
 * other statement, such as INSERT … SELECT. `text` is latin1, so offsets count bytes.
 */
export function splitInsert(text: string): InsertParts | undefined {
  let before: Token | undefined
  let clause: Token | undefined
  for (const token of toTokens(text)) {
    if (!before && !isKeyword(token, 'INSERT')) return undefined
    if (clause) return toParts(text, clause, token)
    // A token after INTO, TABLE or a dot is a name, even if it looks like a keyword.
    const isClause = token.depth === 0 && token.kind === 'word' && !isBeforeName(before)
    if (isClause && isKeyword(token, 'VALUES'))
      return { sql: text.slice(0, token.start), format: 'Values', dataStart: token.end }
    if (isClause && isKeyword(token, 'FORMAT')) clause = token
    if (isClause && selectKeywords.some((keyword) => isKeyword(token, keyword))) return undefined
    before = token
  }
  return undefined
}

const selectKeywords = ['SELECT', 'WITH', 'FROM', 'WATCH']

const isBeforeName = (token: Token | undefined) =>
  isKeyword(token, 'INTO') || isKeyword(token, 'TABLE') || token?.value === '.'

/** The rows begin after the format's name, spaces and one line break. */
function toParts(text: string, clause: Token, name: Token): InsertParts {
  const gap = /^[ \t\f]*;?[ \t\f]*(\r?\n)?/.exec(text.slice(name.end, name.end + 256))?.[0] ?? ''
  return {
    sql: text.slice(0, clause.start),
    format: name.value,
    dataStart: name.end + gap.length,
  }
}
