/**
 * What a failed call says about what to do next.
 * - `data`: a row is at fault, and nothing of its insert was stored.
 * - `large`: the insert is more than the server takes at once; a smaller one may pass.
 * - `busy`: the server's state is at fault, whatever the rows; waiting is the cure.
 * - `unknown`: anything else, a cut connection and a reply that proves nothing included.
 */
export type FailureKind = 'data' | 'large' | 'busy' | 'unknown'

export class ClickHouseFailure extends Error {
  readonly kind: FailureKind
  /** ClickHouse's own code; undefined where no ClickHouse spoke. */
  readonly code: number | undefined
  /** A bounded word for metrics and dead letters: `cannot_parse_uuid`, `timeout`. */
  readonly reason: string
  /** The row at fault, from 0, where the server names it. */
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

/** Codes of ClickHouse's `ErrorCodes.cpp`. Total: whatever was thrown becomes a failure. */
export function toFailure(error: unknown): ClickHouseFailure {
  if (error instanceof ClickHouseFailure) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = toCode(error, message)
  if (code === undefined) return new ClickHouseFailure(cut(message), { reason: toReason(message) })
  const row = toRow(message)
  const kind = toKind(code, message)
  const reason = toName(error, message) ?? `code_${code}`
  return new ClickHouseFailure(cut(message), { kind, code, reason, row })
}

/** The rows cannot be read or stored as they are. */
const dataCodes = new Set([
  ...[6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 128, 130, 131, 190, 321, 349, 376],
  ...[407, 436, 441, 442, 457, 467, 469, 636, 675, 676, 691],
])

/** MEMORY_LIMIT_EXCEEDED: less may fit. */
const largeCodes = new Set([241])
/** NOT_ENOUGH_SPACE: room for the whole insert is asked for, and for a mebibyte at the least. */
const moreThanLeast = /Cannot reserve (?!1\.00 MiB)[\d.]+ [MG]iB/

/**
 * Disk, quota, parts, replicas, Keeper, rights, a schema that is not ours: no row is at fault, so
 * no row may be given up for it.
 */
const busyCodes = new Set([
  ...[3, 10, 16, 47, 60, 75, 76, 77, 81, 115, 159, 160, 164, 172, 173, 192, 193, 194, 195, 198],
  ...[201, 202, 203, 204, 209, 210, 216, 218, 225, 232, 233, 236, 242, 243, 244, 246, 252, 254],
  ...[265, 279, 285, 286, 290, 291, 298, 305, 319, 364, 369, 387, 394, 410, 425, 439, 452, 473],
  ...[492, 497, 499, 516, 519, 529, 564, 571, 586, 665, 692, 700, 701, 733, 999],
])

function toKind(code: number, message: string): FailureKind {
  // A full disk comes under many codes, the standard library's among them.
  if (/no space left|ENOSPC|errno: 28\b/i.test(message)) return 'busy'
  // Older servers say this to each insert after one that met a full disk, until they are restarted.
  if (/(canceled|finalized) buffer/i.test(message)) return 'busy'
  // An operator's materialised view fails after the table itself took the rows.
  if (/pushing to view/i.test(message)) return 'unknown'
  if (code === 243 && moreThanLeast.test(message)) return 'large'
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

/** A server's message may quote a whole row. */
const cut = (message: string) => message.slice(0, 1000)
