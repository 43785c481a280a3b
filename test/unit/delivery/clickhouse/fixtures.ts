import type { RetryPolicy } from '../../../../src/core/async.ts'
import type { Kind, Source } from '../../../../src/core/event.ts'
import { type StoredRecord, toEncodedRecord, toStoredLine } from '../../../../src/core/record.ts'
import type { Batch } from '../../../../src/core/sink.ts'
import type { ClickHouseSettings } from '../../../../src/delivery/clickhouse/settings.ts'
import type { PendingRange } from '../../../../src/delivery/cursors.ts'
import type { SinkReport } from '../../../../src/delivery/sink-counters.ts'

/** Today, because the retention removes old dead letters. */
export const receivedMs = new Date().setUTCHours(0, 0, 0, 0)
const iso = (ms: number) => new Date(ms).toISOString()

/** An event as read from the journal. Fields of `row` replace those of the line. */
export function makeEvent(offset: number, row: Record<string, unknown> = {}): StoredRecord {
  return toStored(offset, 'event', {
    ...{ uuid: crypto.randomUUID(), project: 'p1', source: 'capture', event: '$pageview' },
    ...{ distinct_id: 'u1', session_id: 's1', timestamp: iso(receivedMs) },
    ...{ received_at: iso(receivedMs + offset), ip: '203.0.113.9', user_agent: 'agent' },
    ...{ library: 'web', properties: { offset }, user: { $set: { plan: 'x' } }, historical: false },
    ...row,
  })
}

export function makeRecording(offset: number, row: Record<string, unknown> = {}): StoredRecord {
  return toStored(offset, 'recording', {
    ...{ uuid: crypto.randomUUID(), project: 'p1', session_id: 's1', distinct_id: 'u1' },
    ...{ window_id: 'w', snapshot_source: 'web', timestamp: iso(receivedMs) },
    ...{ received_at: iso(receivedMs + offset), ip: '', user_agent: '', library: 'web' },
    ...{ chunk: 0, chunks: 1, snapshot_items: [{ type: 2, data: { html: '<p>' } }] },
    ...row,
  })
}

export function makeLink(offset: number, row: Record<string, unknown> = {}): StoredRecord {
  return toStored(offset, 'link', {
    ...{ uuid: crypto.randomUUID(), received_at: iso(receivedMs + offset) },
    ...{ event_id: `e${offset}`, event_type: 'click', event_time: iso(receivedMs) },
    ...{ project_id: 'default', visitor_id: 'v1' },
    ...row,
  })
}

export function makeDeadLetter(offset: number, row: Record<string, unknown> = {}): StoredRecord {
  return toStored(offset, 'dead_letter', {
    ...{ uuid: crypto.randomUUID(), project: 'p1', protocol: 'capture', stage: 'normalise' },
    ...{ reason: 'missing_event_name', detail: 'no name', received_at: iso(receivedMs + offset) },
    ...{ ip: '', raw: '{"a":1}' },
    ...row,
  })
}

/** The record with this text as its line. */
export function withLine(record: StoredRecord, line: string): StoredRecord {
  return { ...record, ...toStoredLine(Buffer.from(`${line}\n`)) }
}

export function toBatch(records: readonly StoredRecord[]): Batch {
  return { firstOffset: records[0]!.offset, lastOffset: records.at(-1)!.offset, records }
}

export const makeEvents = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => makeEvent(from + index))

export const rowOf = (record: StoredRecord) =>
  JSON.parse(new TextDecoder().decode(record.line)) as Record<string, unknown>

export const uuidsOf = (records: readonly StoredRecord[]) =>
  records.map((record) => record.head().uuid).sort()

const sources: Record<Kind, Source> = {
  event: 'capture',
  recording: 'capture',
  link: 'link',
  dead_letter: 'capture',
}

function toStored(offset: number, kind: Kind, row: Record<string, unknown>): StoredRecord {
  const head = { uuid: String(row.uuid), dedupKey: undefined, event: String(row.event), key: 'k' }
  return {
    ...{ offset, kind, route: 'main', source: sources[kind] },
    receivedMs: receivedMs + offset,
    ...toStoredLine(Buffer.from(`${JSON.stringify(row)}\n`)),
    head: () => head,
    encoded: () => toEncodedRecord({ ...head, line: JSON.stringify(row) }),
  }
}

/** Pauses of no duration that still reject when the signal aborts. */
export const instantly: RetryPolicy = {
  backoff: { firstMs: 1, maxMs: 1 },
  async sleep(_, signal) {
    await new Promise((resolve) => setImmediate(resolve))
    signal.throwIfAborted()
  },
  random: () => 0,
}

export type Ledger = {
  begin(sink: string, pending: PendingRange): void
  pending(): PendingRange | undefined
}

/** Cursors in memory. */
export function makeLedger(): Ledger & { written: PendingRange[] } {
  const written: PendingRange[] = []
  return {
    written,
    begin: (_, pending) => void written.push(pending),
    pending: () => written.at(-1),
  }
}

/** A report that keeps the reasons. */
export type ReportedSink = SinkReport & { retries: string[]; rejections: string[] }

export function makeReport(): ReportedSink {
  const retries: string[] = []
  const rejections: string[] = []
  return {
    ...{ retries, rejections },
    retried: (reason) => void retries.push(reason),
    deadLettered: (_, reason) => void rejections.push(reason),
  }
}

/** Settings for small batches. A test adds a server's URL or a data folder. */
export const makeSettings = (given: Partial<ClickHouseSettings> = {}): ClickHouseSettings => ({
  ...{ dataDir: '', EVENTS_TTL_DAYS: 0, EVENTS_COLUMNS: [] },
  ...{ CLICKHOUSE_TIMEOUT_MS: 10_000, CLICKHOUSE_FLUSH_MS: 10 },
  ...{ CLICKHOUSE_ROWS_MAX: 1000, CLICKHOUSE_BYTES_MAX: 1024 * 1024 },
  ...given,
})

export const never = new AbortController().signal
