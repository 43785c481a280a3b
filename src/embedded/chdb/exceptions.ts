/** Exceptions that this interface raises itself, by ClickHouse's own codes. */
export const ownCodes = {
  BAD_ARGUMENTS: 36,
  NOT_IMPLEMENTED: 48,
  SYNTAX_ERROR: 62,
  UNKNOWN_FORMAT: 73,
  CANNOT_WRITE_TO_FILE_DESCRIPTOR: 75,
  TIMEOUT_EXCEEDED: 159,
  READONLY: 164,
  TOO_MANY_SIMULTANEOUS_QUERIES: 202,
  QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: 216,
  QUERY_IS_TOO_LARGE: 229,
  ABORTED: 236,
  QUERY_WAS_CANCELLED: 394,
  SETTING_CONSTRAINT_VIOLATION: 452,
  ACCESS_DENIED: 497,
  AUTHENTICATION_FAILED: 516,
  UNKNOWN_EXCEPTION: 1002,
} as const

export type OwnCode = keyof typeof ownCodes

/** What a query ended with. `message` is the whole text that a client reads, version excluded. */
export class QueryError extends Error {
  readonly code: number

  constructor(code: number, text: string) {
    super(text)
    this.name = 'QueryError'
    this.code = code
  }
}

/** A refusal of our own, worded as the engine words its exceptions. */
export function refusal(name: OwnCode, sentence: string): QueryError {
  const code = ownCodes[name]
  return new QueryError(code, `Code: ${code}. DB::Exception: ${sentence}. (${name})`)
}

/** The engine's text as an exception. Total: text without a code becomes UNKNOWN_EXCEPTION. */
export function toQueryError(engineText: string): QueryError {
  // Some of its texts end with the version, which every reply adds.
  const text = engineText.trim().replace(/ \(version [\d.]+\)$/, '')
  const code = /^Code: (\d+)\. DB::Exception: /.exec(text)?.[1]
  if (code === undefined) return refusal('UNKNOWN_EXCEPTION', text.replace(/\.$/, ''))
  return new QueryError(Number(code), text)
}

/** Anything thrown as an exception. */
export function asQueryError(error: unknown): QueryError {
  if (error instanceof QueryError) return error
  return toQueryError(error instanceof Error ? error.message : String(error))
}
