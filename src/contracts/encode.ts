import type {
  CanonicalEvent,
  DeadLetterRow,
  EventRow,
  RecordingRow,
  Rejection,
} from '../core/event.ts'
import { deadLetterRawBytesMax } from '../core/limits.ts'
import type { IngestRequest, ProtocolName } from '../core/protocol.ts'
import type { JournalRecord, Line } from '../core/record.ts'
import { toLinkLine } from './link/encode.ts'
import { createIsoTime } from './shared/iso-time.ts'
import { cutBytes, escapeJson, toWellFormedJson } from './shared/text.ts'

/** The one place where an event becomes the bytes that journal, ClickHouse and Kafka share. */
export function toRecord(canonical: CanonicalEvent): JournalRecord {
  const { kind, row, route, key, dedupKey } = canonical
  if (kind === 'event') {
    const { uuid, source, event, received_at: receivedMs } = row
    return { kind, route, source, uuid, dedupKey, event, key, receivedMs, line: toEventLine(row) }
  }
  const { uuid } = row
  if (kind === 'recording') {
    const line = toRecordingLine(row)
    const words = { source: 'capture', event: '$snapshot_items' } as const
    return { kind, route, uuid, dedupKey, key, receivedMs: row.received_at, line, ...words }
  }
  const receivedMs = typeof row.received_at === 'number' ? row.received_at : row.event_time
  const words = { source: 'link', event: row.event_type } as const
  return { kind, route, uuid, dedupKey, key, receivedMs, line: toLinkLine(row), ...words }
}

export type Rejected = {
  rejection: Rejection
  /** The project's id. */
  project: string
  protocol: ProtocolName
  request: Pick<IngestRequest, 'receivedMs' | 'clientIp'>
}

/** An event that was refused while its request was accepted, with its reason and what was sent. */
export function toDeadLetter({ rejection, project, protocol, request }: Rejected): JournalRecord {
  const uuid = Bun.randomUUIDv7()
  const { code, message, raw } = rejection
  const { receivedMs, clientIp } = request
  const row = {
    uuid,
    project,
    protocol,
    stage: 'normalise',
    reason: code,
    detail: message,
    received_at: toReceivedAt(receivedMs),
    ip: clientIp,
    raw: cutBytes(JSON.stringify(raw) ?? 'null', deadLetterRawBytesMax),
  } satisfies Record<keyof DeadLetterRow, string>
  return {
    kind: 'dead_letter',
    route: 'main',
    source: protocol,
    uuid,
    dedupKey: undefined,
    event: code,
    key: project,
    receivedMs,
    line: toWellFormedJson(JSON.stringify(row)),
  }
}

/** The bytes of a recording's line before its snapshots. */
export function toRecordingHead(row: Omit<RecordingRow, 'snapshot_items'>): string {
  return (
    `{"uuid":"${row.uuid}","project":"${escapeJson(row.project)}"` +
    `,"session_id":"${escapeJson(row.session_id)}","distinct_id":"${escapeJson(row.distinct_id)}"` +
    `,"window_id":"${escapeJson(row.window_id)}"` +
    `,"snapshot_source":"${escapeJson(row.snapshot_source)}"` +
    `,"timestamp":"${toTime(row.timestamp)}"` +
    `,"received_at":"${toReceivedAt(row.received_at)}","ip":"${escapeJson(row.ip)}"` +
    `,"user_agent":"${escapeJson(row.user_agent)}","library":"${escapeJson(row.library)}"` +
    `,"chunk":${row.chunk},"chunks":${row.chunks},"snapshot_items":`
  )
}

/** One clock each: both change once a second, but seldom in the same one. */
const toTime = createIsoTime()
const toReceivedAt = createIsoTime()

/** In pieces: joined, they would be copied once more before they are encoded. */
function toEventLine(row: EventRow): Line {
  return [
    '{"uuid":"',
    row.uuid,
    toOrigin(row),
    escapeJson(row.event),
    '","distinct_id":"',
    escapeJson(row.distinct_id),
    '","session_id":"',
    escapeJson(row.session_id),
    '","timestamp":"',
    toTime(row.timestamp),
    toReceipt(row),
    toWellFormedJson(row.properties),
    toEventEnd(row),
  ]
}

// What the events of a request mostly have in common is written once. No row is like the first two.
let lastOrigin = { project: '', source: '', text: '' }
let lastReceipt = { received_at: Number.NaN, ip: '', user_agent: '', library: '', text: '' }

function toOrigin({ project, source }: EventRow): string {
  if (project !== lastOrigin.project || source !== lastOrigin.source) {
    const text = `","project":"${escapeJson(project)}","source":"${source}","event":"`
    lastOrigin = { project, source, text }
  }
  return lastOrigin.text
}

function toReceipt({ received_at, ip, user_agent, library }: EventRow): string {
  const last = lastReceipt
  const isSame = received_at === last.received_at && library === last.library
  if (!isSame || ip !== last.ip || user_agent !== last.user_agent) {
    const text =
      `","received_at":"${toReceivedAt(received_at)}","ip":"${escapeJson(ip)}"` +
      `,"user_agent":"${escapeJson(user_agent)}","library":"${escapeJson(library)}","properties":`
    lastReceipt = { received_at, ip, user_agent, library, text }
  }
  return lastReceipt.text
}

function toEventEnd({ user, historical }: EventRow): string {
  if (user === '{}' && !historical) return ',"user":{},"historical":false}'
  return `,"user":${toWellFormedJson(user)},"historical":${historical}}`
}

/**
 * The snapshots are bytes of the client's own, lone surrogates included: nothing in them is
 * repaired.
 */
function toRecordingLine(row: RecordingRow): string {
  return `${toRecordingHead(row)}${row.snapshot_items}}`
}
