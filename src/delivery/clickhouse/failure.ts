/**
 * The cause of a failed call.
 * - `data`: a row cannot be stored, and no row of the insert was stored.
 * - `large`: the server cannot take an insert of this size; a smaller one may succeed.
 * - `busy`: the state of the server, independent of the rows; retry later.
 * - `unknown`: anything else, including a broken connection and a reply without proof.
 */
export type FailureKind = 'data' | 'large' | 'busy' | 'unknown'

export class ClickHouseFailure extends Error {
  readonly kind: FailureKind
  /** ClickHouse's error code; undefined if ClickHouse did not answer. */
  readonly code: number | undefined
  /**
   * A word from a bounded set, for metrics and dead letters, such as `cannot_parse_uuid`,
   * `timeout`.
   */
  readonly reason: string
  /** Index of the bad row, from 0, if the server names it. */
  readonly row: number | undefined

  constructor(message: string, details: Omit<FailureDetails, 'message'> = {}) {
    super(message)
    this.name = 'ClickHouseFailure'
    this.code = details.code
    this.row = details.row
    this.reason = details.reason ?? 'unreachable'
    this.kind = details.kind ?? 'unknown'
  }
}

export type FailureDetails = {
  message: string
  kind?: FailureKind
  code?: number | undefined
  reason?: string
  row?: number | undefined
}

/** Total. The codes are those of ClickHouse's `ErrorCodes.cpp`. */
export function toFailure(error: unknown): ClickHouseFailure {
  if (error instanceof ClickHouseFailure) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = toCode(error, message)
  if (code === undefined)
    return new ClickHouseFailure(truncate(message), { reason: toReason(message) })
  const row = toRow(message)
  const kind = toKind(code, message)
  const reason = toName(error, message) ?? `code_${code}`
  return new ClickHouseFailure(truncate(message), { kind, code, reason, row })
}

/** A row cannot be parsed or stored. */
const dataCodes = new Set([
  ...[6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 128, 130, 131, 190, 321, 349, 376],
  ...[407, 436, 441, 442, 457, 467, 469, 636, 675, 676, 691],
])

/** MEMORY_LIMIT_EXCEEDED: a smaller insert may fit. */
const largeCodes = new Set([241])
/** NOT_ENOUGH_SPACE: the server reserves space for the whole insert, at least 1 MiB. */
const moreThanMinimum = /Cannot reserve (?!1\.00 MiB)[\d.]+ [MG]iB/

/**
 * Disk, quota, parts, replicas, Keeper, rights or a changed schema: no row is the cause, so no row
 * may be given up.
 */
const busyCodes = new Set([
  ...[3, 10, 16, 47, 60, 75, 76, 77, 81, 115, 159, 160, 164, 172, 173, 192, 193, 194, 195, 198],
  ...[201, 202, 203, 204, 209, 210, 216, 218, 225, 232, 233, 236, 242, 243, 244, 246, 252, 254],
  ...[265, 279, 285, 286, 290, 291, 298, 305, 319, 364, 369, 387, 394, 410, 425, 439, 452, 473],
  ...[492, 497, 499, 516, 519, 529, 564, 571, 586, 665, 692, 700, 701, 733, 999],
])

function toKind(code: number, message: string): FailureKind {
  // A full disk is reported with many codes, also those of the C++ standard library.
  if (/no space left|ENOSPC|errno: 28\b/i.test(message)) return 'busy'
  // After a full disk, older servers report this for every insert until they are restarted.
  if (/(canceled|finalized) buffer/i.test(message)) return 'busy'
  // A materialised view of the operator failed after the table had stored the rows.
  if (/pushing to view/i.test(message)) return 'unknown'
  if (code === 243 && moreThanMinimum.test(message)) return 'large'
  if (dataCodes.has(code)) return 'data'
  if (largeCodes.has(code)) return 'large'
  return busyCodes.has(code) ? 'busy' : 'unknown'
}

function toCode(error: unknown, message: string): number | undefined {
  const own = error instanceof Error && 'code' in error ? Number(error.code) : Number.NaN
  if (Number.isInteger(own)) return own
  const match = /Code: (\d+)\b/.exec(message)
  return match ? Number(match[1]) : undefined
}

/** Rows are counted from 1 in `(at row 3)`. */
function toRow(message: string): number | undefined {
  const match = /\(at row (\d+)\)/.exec(message)
  return match ? Number(match[1]) - 1 : undefined
}

function toName(error: unknown, message: string): string | undefined {
  const own = error instanceof Error && 'type' in error ? error.type : undefined
  const name = typeof own === 'string' ? own : message.match(/\(([A-Z][A-Z_0-9]+)\)/g)?.at(-1)
  return name?.replace(/[()]/g, '').toLowerCase()
}

function toReason(message: string): string {
  if (/timeout|timed out/i.test(message)) return 'timeout'
  return /abort/i.test(message) ? 'aborted' : 'unreachable'
}

/** A message may quote a whole row. */
const truncate = (message: string) => message.slice(0, 1000)
