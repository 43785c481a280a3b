import { type Body, openBody } from './body.ts'
import type { Query } from './launch.ts'
import type { Queries, QueryJob } from './queries.ts'
import type { QueryRequest } from './request.ts'
import { type Limits, type Mode, toEngineSettings } from './settings.ts'
import { isKeyword, type Token, toTokens } from './tokens.ts'

export type StartParts = {
  queries: Queries
  mode: Mode
  limits: Limits
  /** A statement, without the rows of an insert. */
  sqlBytesMax: number
}

/** Starts what a request asks for, by its URL, its form or its body. Rejects with QueryError. */
export async function startQuery(
  parts: StartParts,
  parsed: QueryRequest,
  request: Request,
): Promise<Query> {
  const { queries, mode, sqlBytesMax } = parts
  const { signal } = request
  const body = openBody(request)
  const prefix = Buffer.from(parsed.sql === '' ? '' : `${parsed.sql}\n`)
  const insert = mode === 'writable' ? await findRows(prefix, body) : undefined
  if (!insert) {
    const text = Buffer.concat([prefix, await body.rest(sqlBytesMax)]).toString()
    return queries.start(toJob(parts, parsed, { sql: text }), signal)
  }
  const sql = Buffer.from(insert.sql, 'latin1').toString()
  const job = toJob(parts, parsed, { sql, format: insert.format, isInsert: true })
  const query = await queries.start(job, signal)
  void sendRows({ query, body, signal, prefix, dataStart: insert.dataStart })
  return query
}

type OwnStatement = Pick<QueryJob, 'sql'> & Partial<QueryJob>

function toJob({ mode, limits }: StartParts, parsed: QueryRequest, own: OwnStatement): QueryJob {
  const { queryId, database, parameters, format, isGet, settings: given } = parsed
  const settings = toEngineSettings({ mode, limits, given, queryId, isGet })
  return { queryId, database, parameters, format, settings, isInsert: false, ...own }
}

/** The start of a body that is looked at to find where the rows of an insert begin. */
const insertHeadBytesMax = 64 * 1024

/** Mostly the URL tells it: then the insert starts before its rows arrive. */
async function findRows(prefix: Buffer, body: Body): Promise<InsertParts | undefined> {
  // One character a byte, so that what is found in the text is found in the bytes.
  const start = prefix.toString('latin1')
  const found = splitInsert(start)
  if (found) return found
  const head = await body.peek(insertHeadBytesMax)
  return splitInsert(start + Buffer.from(head).toString('latin1'))
}

type Rows = { query: Query; body: Body; signal: AbortSignal; prefix: Buffer; dataStart: number }

/** Hands the rows on as they come. Those of a body that was cut off are not committed. */
async function sendRows({ query, body, signal, prefix, dataStart }: Rows): Promise<void> {
  try {
    await query.sendRows(prefix.subarray(dataStart))
    let skip = Math.max(0, dataStart - prefix.length)
    for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
      await query.sendRows(piece.subarray(skip))
      skip = Math.max(0, skip - piece.length)
    }
    if (signal.aborted) query.abandon()
    else query.commit()
  } catch {
    query.abandon()
  }
}

/** An INSERT whose rows follow its text: where the statement ends, what they are in, where they begin. */
type InsertParts = { sql: string; format: string; dataStart: number }

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
