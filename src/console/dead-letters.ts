import { deadLetterRawBytesMax } from '../core/limits.ts'
import type { ClickHouseReader } from './clickhouse.ts'
import { parseJson } from './exchange.ts'
import { toHint } from './hints.ts'
import { type LetterRow, letterColumns } from './lookups.ts'

/** A dead letter, and whether its event can be sent again. */
export type KeptLetter = {
  uuid: string
  project: string
  contract: string
  stage: string
  reason: string
  hint: string
  detail: string
  received_ms: number
  client_ip: string
  raw: string
  event: Record<string, unknown> | null
  /** False: only the beginning was kept, or it is no single event. */
  whole: boolean
  resendable: boolean
  why_not: string | null
}

export type LetterFilter = Partial<Record<'project' | 'contract' | 'reason' | 'stage', string>> & {
  from_ms?: number | undefined
  /** Received before this time. */
  before_ms?: number | undefined
}

/**
 * The newest dead letters of the filter. A page may be longer than `limit`: the letters of one
 * millisecond stay together, so that the next page begins before it.
 */
export async function listLetters(
  clickhouse: ClickHouseReader,
  filter: LetterFilter,
  limit: number,
): Promise<KeptLetter[]> {
  const { clause, parameters } = toClause(filter)
  const sql = `SELECT ${letterColumns} FROM dead_letters FINAL WHERE ${clause}
  ORDER BY received_at DESC LIMIT ${limit} WITH TIES`
  return (await clickhouse.query<LetterRow>(sql, parameters)).map(toLetter)
}

export async function countLetters(
  clickhouse: ClickHouseReader,
  filter: LetterFilter,
): Promise<number> {
  const { clause, parameters } = toClause(filter)
  const sql = `SELECT count() AS letters FROM dead_letters FINAL WHERE ${clause}`
  const [row] = await clickhouse.query<{ letters: number }>(sql, parameters)
  return Number(row?.letters ?? 0)
}

export async function readLetter(
  clickhouse: ClickHouseReader,
  uuid: string,
): Promise<KeptLetter | undefined> {
  const sql = `SELECT ${letterColumns} FROM dead_letters FINAL WHERE uuid = {uuid:UUID} LIMIT 1`
  const [row] = await clickhouse.query<LetterRow>(sql, { uuid })
  return row && toLetter(row)
}

const groupsMax = 200
const sampleCharsMax = 2000

/** How many there are of each project, contract and reason, with the newest as a sample. */
export async function groupLetters(clickhouse: ClickHouseReader, days: number) {
  const sql = `SELECT project, protocol AS contract, stage, reason, count() AS events,
    min(toUnixTimestamp64Milli(received_at)) AS first_ms,
    max(toUnixTimestamp64Milli(received_at)) AS last_ms,
    argMax((toString(uuid), detail, substring(raw, 1, ${sampleCharsMax})), received_at) AS sample
  FROM dead_letters FINAL WHERE received_at >= now() - toIntervalDay({days:UInt16})
  GROUP BY project, contract, stage, reason ORDER BY events DESC LIMIT ${groupsMax}`
  const groups = await clickhouse.query<GroupRow>(sql, { days })
  return groups.map(({ sample, ...group }) => {
    const [uuid, detail, raw] = Array.isArray(sample) ? sample : Object.values(sample)
    return {
      ...group,
      hint: toHint(group.reason),
      resendable: group.stage === 'normalise' && group.reason !== 'more_rejected',
      sample: { uuid, detail, raw },
    }
  })
}

type GroupRow = Record<'project' | 'contract' | 'stage' | 'reason', string> &
  Record<'events' | 'first_ms' | 'last_ms', number> & { sample: string[] | Record<string, string> }

function toClause({ project, contract, reason, stage, ...times }: LetterFilter) {
  const texts = { project, protocol: contract, reason, stage }
  const parameters: Record<string, string | number> = {}
  const clauses = ['1']
  for (const [column, value] of Object.entries(texts)) {
    if (value === undefined) continue
    clauses.push(`${column} = {${column}:String}`)
    parameters[column] = value
  }
  for (const [name, operator] of [
    ['from_ms', '>='],
    ['before_ms', '<'],
  ] as const) {
    const value = times[name]
    if (value === undefined) continue
    clauses.push(`received_at ${operator} fromUnixTimestamp64Milli({${name}:Int64})`)
    parameters[name] = value
  }
  return { clause: clauses.join(' AND '), parameters }
}

function toLetter({ protocol, ip, ...row }: LetterRow): KeptLetter {
  const parsed = parseJson(row.raw)
  const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
  const event = isObject ? (parsed as Record<string, unknown>) : null
  const whyNot = toWhyNot(row, event)
  return {
    ...row,
    received_ms: Number(row.received_ms),
    contract: protocol,
    client_ip: ip,
    hint: toHint(row.reason),
    event,
    whole: event !== null && row.reason !== 'more_rejected',
    resendable: whyNot === null,
    why_not: whyNot,
  }
}

function toWhyNot(row: Pick<LetterRow, 'stage' | 'reason' | 'raw'>, event: object | null) {
  if (row.reason === 'more_rejected')
    return 'this letter counts further events of its request; their text was not kept'
  if (row.stage !== 'normalise')
    return `the event was accepted, and only ${row.stage} refused it; repair the cause there: the other sink has it`
  if (event !== null) return null
  const isCut = Buffer.byteLength(row.raw) >= deadLetterRawBytesMax - 4
  return isCut
    ? `the event is larger than ${deadLetterRawBytesMax} bytes, and only its beginning was kept`
    : 'what was sent is not a JSON object; edit it into an event'
}
