import {
  type CanonicalEvent,
  type ColumnEncoding,
  type Columns,
  type DeadLetterRow,
  deadLetterColumns,
  eventColumns,
  linkColumns,
  type RecordingRow,
  type Rejection,
  type RowOf,
  recordingColumns,
  type Source,
} from '../core/event.ts'
import { deadLetterRawBytesMax } from '../core/limits.ts'
import type { IngestRequest } from '../core/protocol.ts'
import type { JournalRecord, Line, StoredRecord } from '../core/record.ts'
import { cutBytes, escapeJson, toWellFormedJson } from './shared/text.ts'
import { createIsoTime } from './shared/time.ts'

/** Encodes an event once: the journal, ClickHouse and Kafka carry the bytes of this line. */
export function toRecord(canonical: CanonicalEvent): JournalRecord {
  const { kind, row, route, key, dedupKey, encoded } = canonical
  const { uuid, received_at: receivedMs } = row
  if (kind === 'event') {
    const { source, event } = row
    return {
      kind,
      route,
      source,
      uuid,
      dedupKey,
      event,
      key,
      receivedMs,
      line: encoded ?? toEventLine(row),
    }
  }
  if (kind === 'recording') {
    const names = { source: 'capture', event: '$snapshot_items' } as const
    return {
      kind,
      route,
      uuid,
      dedupKey,
      key,
      receivedMs,
      line: encoded ?? toRecordingLine(row),
      ...names,
    }
  }
  const names = { source: 'link', event: row.event_type } as const
  return {
    kind,
    route,
    uuid,
    dedupKey,
    key,
    receivedMs,
    line: encoded ?? toLinkLine(row),
    ...names,
  }
}

/** An event that its contract rejected. */
export type RejectedEvent = {
  rejection: Rejection
  /** The project's id. */
  project: string
  protocol: Source
  request: Pick<IngestRequest, 'receivedMs' | 'clientIp'>
}

/** A record that a sink refused. */
export type RefusedRecord = {
  record: StoredRecord
  stage: DeadLetterRow['stage']
  reason: string
  detail: string
  /** A second attempt at the same record must give the same uuid. */
  uuid: string
  receivedMs: number
}

/**
 * Builds every dead letter: of an event that a contract rejected, or of a record that a sink
 * refused.
 */
export function toDeadLetter(refused: RejectedEvent | RefusedRecord): JournalRecord {
  const row = 'record' in refused ? toRefusedRow(refused) : toRejectedRow(refused)
  return {
    kind: 'dead_letter',
    route: 'main',
    source: row.protocol,
    uuid: row.uuid,
    dedupKey: undefined,
    event: row.reason,
    key: row.project,
    receivedMs: row.received_at,
    line: toDeadLetterLine(row),
  }
}

function toRejectedRow({ rejection, project, protocol, request }: RejectedEvent): DeadLetterRow {
  const { code, message, raw, rawText } = rejection
  return {
    uuid: Bun.randomUUIDv7(),
    project,
    protocol,
    stage: 'normalise',
    reason: code,
    detail: message,
    received_at: request.receivedMs,
    ip: request.clientIp,
    raw: rawText ?? cutBytes(JSON.stringify(raw) ?? 'null', deadLetterRawBytesMax),
  }
}

function toRefusedRow({ record, stage, ...refused }: RefusedRecord): DeadLetterRow {
  const { project, ip } = toSender(record.line)
  return {
    uuid: refused.uuid,
    project,
    protocol: record.source,
    stage,
    reason: refused.reason,
    detail: refused.detail,
    received_at: refused.receivedMs,
    ip,
    raw: utf8.decode(record.line.subarray(0, deadLetterRawBytesMax)).trimEnd(),
  }
}

const utf8 = new TextDecoder()

/**
 * Shippers parse no line but this one, because a refused record is rare. Link events name the
 * columns otherwise.
 */
function toSender(line: Uint8Array): { project: string; ip: string } {
  try {
    const row = JSON.parse(utf8.decode(line)) as Record<string, unknown>
    return {
      project: String(row.project ?? row.project_id ?? ''),
      ip: String(row.ip ?? row.ip_address ?? ''),
    }
  } catch {
    return { project: '', ip: '' }
  }
}

/** The bytes of a recording's line without its snapshots. */
export function toRecordingHeadBytes(head: Omit<RecordingRow, 'snapshot_items'>): number {
  return Buffer.byteLength(toRecordingLine({ ...head, snapshot_items: '' }))
}

/**
 * Creates an encoder that writes every column of a row, in the order of the table, into one string.
 */
function createRowEncoder<C extends Columns>(columns: C): (row: RowOf<C>) => string {
  const writers = Object.entries(columns).map(([name, [, encoding]], index) => {
    const quote = quotes[encoding]
    const before = `${index === 0 ? '{' : ','}"${name}":${quote}`
    return { name, before, empty: before + quote, quote, encode: createValueEncoder(encoding) }
  })
  return (row) => {
    let line = ''
    for (const { name, before, empty, quote, encode } of writers) {
      const value = row[name]
      if (value === undefined) continue
      // Most columns of a link event are empty. A string of few pieces is quicker to flatten.
      line += value === '' ? empty : before + encode(value) + quote
    }
    return `${line}}`
  }
}

/**
 * Creates an encoder that writes the same text as `createRowEncoder`, as pieces: to encode pieces
 * into the journal is cheaper than to join them first. Events are the hot path, so the function is
 * generated from the table, without a loop over the columns. Consecutive rows mostly agree in the
 * columns of `repeated`: the text of a run of such columns is kept and used again while their
 * values stay the same.
 */
function createPieceEncoder<C extends Columns>(
  columns: C,
  repeated: ReadonlySet<keyof C>,
): (row: RowOf<C>) => Line {
  const pieces: string[] = []
  const runs: Run[] = []
  let run: Run | undefined
  let text = '{'
  for (const [index, [name, [, encoding]]] of Object.entries(columns).entries()) {
    text += `${index === 0 ? '' : ','}"${name}":${quotes[encoding]}`
    const value = encoding === 'plain' ? `row.${name}` : `encoders.${name}(row.${name})`
    if (repeated.has(name)) {
      if (run === undefined) pieces.push(`run${runs.length}`)
      run ??= runs[runs.push({ names: [], parts: [] }) - 1]!
      run.names.push(name)
      run.parts.push(JSON.stringify(text), value)
    } else {
      const target = run?.parts ?? pieces
      target.push(JSON.stringify(text))
      pieces.push(value)
      run = undefined
    }
    text = quotes[encoding]
  }
  const target = run?.parts ?? pieces
  target.push(JSON.stringify(`${text}}`))
  return compile(columns, { pieces, runs })
}

/** Consecutive columns whose text is kept. The parts are JavaScript expressions. */
type Run = { names: string[]; parts: string[] }

/**
 * Returns a function such as this one, for the columns `uuid`, `project` (repeated) and `event`:
 * ```js
 * (row) => {
 *   if (row.project !== last_project) {
 *     run0 = '","project":"' + encoders.project(row.project) + '","event":"'
 *     last_project = row.project
 *   }
 *   return ['{"uuid":"', row.uuid, run0, encoders.event(row.event), '"}']
 * }
 * ```
 */
function compile<C extends Columns>(
  columns: C,
  { pieces, runs }: { pieces: readonly string[]; runs: readonly Run[] },
): (row: RowOf<C>) => Line {
  const names = runs.flatMap((run) => run.names)
  const encoders = Object.fromEntries(
    Object.entries(columns).map(([name, [, encoding]]) => [name, createValueEncoder(encoding)]),
  )
  const updates = runs.map(
    (run, index) => `if (${run.names.map((name) => `row.${name} !== last_${name}`).join(' || ')}) {
    run${index} = ${run.parts.join(' + ')}
    ${run.names.map((name) => `last_${name} = row.${name}`).join('; ')}
  }`,
  )
  const source = `let ${[...names.map((name) => `last_${name}`), ...runs.map((_, index) => `run${index}`)].join(', ')}
return (row) => {
  ${updates.join('\n  ')}
  return [${pieces.join(', ')}]
}`
  return new Function('encoders', source)(encoders)
}

const quotes: Record<ColumnEncoding, '"' | ''> = {
  plain: '"',
  text: '"',
  json: '',
  exact: '',
  time: '"',
  optional_time: '',
  number: '',
  flag: '',
  optional_flag: '',
  texts: '',
}

/** Creates the encoder of one column, without the quotes. */
function createValueEncoder(encoding: ColumnEncoding): (value: unknown) => string {
  const toIsoTime = createIsoTime()
  const encoders: Record<ColumnEncoding, (value: never) => string> = {
    plain: String,
    text: escapeJson,
    json: toWellFormedJson,
    exact: String,
    time: toIsoTime,
    optional_time: (value: number | null) => (value === null ? 'null' : `"${toIsoTime(value)}"`),
    number: String,
    flag: String,
    optional_flag: String,
    texts: (value: readonly string[]) => toWellFormedJson(JSON.stringify(value)),
  }
  return encoders[encoding] as (value: unknown) => string
}

const toEventLine = createPieceEncoder(
  eventColumns,
  new Set([
    ...(['project', 'source', 'received_at', 'ip', 'user_agent', 'library'] as const),
    ...(['user', 'historical'] as const),
  ]),
)
/** The bytes of `snapshot_items` stay as the client sent them, lone surrogates included. */
const toRecordingLine = createRowEncoder(recordingColumns)
const toLinkLine = createRowEncoder(linkColumns)
const toDeadLetterLine = createRowEncoder(deadLetterColumns)
