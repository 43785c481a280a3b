/** Exceptions that the query interface raises itself, with ClickHouse's codes. */
const ownCodes = {
  BAD_ARGUMENTS: 36,
  UNKNOWN_IDENTIFIER: 47,
  NOT_IMPLEMENTED: 48,
  UNKNOWN_FORMAT: 73,
  UNKNOWN_TABLE: 60,
  SYNTAX_ERROR: 62,
  CANNOT_WRITE_TO_FILE_DESCRIPTOR: 75,
  TIMEOUT_EXCEEDED: 159,
  READONLY: 164,
  TOO_MANY_SIMULTANEOUS_QUERIES: 202,
  QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: 216,
  QUERY_IS_TOO_LARGE: 229,
  ABORTED: 236,
  CANNOT_DECOMPRESS: 271,
  QUERY_WAS_CANCELLED: 394,
  ACCESS_DENIED: 497,
  AUTHENTICATION_FAILED: 516,
  UNKNOWN_EXCEPTION: 1002,
} as const

/** The error of a query. `message` is the whole text of the reply, without the version. */
export class QueryError extends Error {
  readonly code: number

  constructor(code: number, text: string) {
    super(text)
    this.name = 'QueryError'
    this.code = code
  }
}

/** An error of our own, in the format of ClickHouse's exceptions. */
export function createQueryError(name: keyof typeof ownCodes, sentence: string): QueryError {
  const code = ownCodes[name]
  return new QueryError(code, `Code: ${code}. DB::Exception: ${sentence}. (${name})`)
}

/** Total: chDB's error text or anything thrown. A text without a code becomes UNKNOWN_EXCEPTION. */
export function toQueryError(thrown: unknown): QueryError {
  if (thrown instanceof QueryError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  // Some of chDB's texts end with the version, and every reply adds it again.
  const text = message.trim().replace(/ \(version [\d.]+\)$/, '')
  const code = /^Code: (\d+)\. DB::Exception: /.exec(text)?.[1]
  if (code === undefined) return createQueryError('UNKNOWN_EXCEPTION', text.replace(/\.$/, ''))
  return new QueryError(Number(code), text)
}
