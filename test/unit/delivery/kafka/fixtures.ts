import { loadConfig } from '../../../../src/config/config.ts'
import type { Kind, Route } from '../../../../src/core/event.ts'
import type { Log } from '../../../../src/core/log.ts'
import { type StoredRecord, toEncodedRecord, toStoredLine } from '../../../../src/core/record.ts'
import type { Batch } from '../../../../src/core/sink.ts'
import type { SendFault } from '../../../../src/delivery/kafka/fault.ts'
import type { KafkaMessage } from '../../../../src/delivery/kafka/message.ts'
import type { KafkaSettings } from '../../../../src/delivery/kafka/settings.ts'
import type { SinkReport } from '../../../../src/delivery/sink-counters.ts'

export type RecordFields = {
  offset?: number
  kind?: Kind
  route?: Route
  uuid?: string
  event?: string
  user?: string
  properties?: object
  line?: string
}

/** A record as the journal reads it, with the keys of its line in canonical order. */
export function makeRecord(fields: RecordFields = {}): StoredRecord {
  const { offset = 0, kind = 'event', route = 'main', event = '$pageview', user = 'u1' } = fields
  const uuid = fields.uuid ?? Bun.randomUUIDv7()
  const row = {
    ...{ uuid, project: 'p1', source: 'capture', event, distinct_id: user, session_id: '' },
    ...{ timestamp: '2026-01-01T00:00:00.000Z', received_at: '2026-01-01T00:00:00.000Z' },
    ...{ ip: '203.0.113.9', user_agent: '', library: '', properties: fields.properties ?? {} },
    ...{ user: { $set: { user: 1, properties: 2 } }, historical: false },
  }
  const line = fields.line ?? JSON.stringify(row)
  const head = { uuid, dedupKey: undefined, event, key: `p1:${user}` }
  return {
    ...{ offset, kind, route, source: 'capture', receivedMs: 0 },
    ...toStoredLine(Buffer.from(`${line}\n`)),
    head: () => head,
    encoded: () => toEncodedRecord({ ...head, line }),
  }
}

/** What a consumer gets of a message. */
export function toReceived({ fields, source, hasKey, gzipped }: KafkaMessage) {
  const { bytes, uuidAt, eventAt, keyAt, keyEnd, lineAt, lineEnd } = fields
  return {
    key: hasKey ? Buffer.from(bytes.subarray(keyAt, keyEnd)) : null,
    value: gzipped ?? Buffer.from(bytes.subarray(lineAt, lineEnd)),
    headers: {
      uuid: bytes.toString('utf8', uuidAt, eventAt),
      event: bytes.toString('utf8', eventAt, keyAt),
      source,
      ...(gzipped ? { 'content-encoding': 'gzip' } : {}),
    } as Record<string, string>,
  }
}

export function toBatch(records: readonly StoredRecord[]): Batch {
  return { firstOffset: records[0]?.offset ?? 0, lastOffset: records.at(-1)?.offset ?? 0, records }
}

/** Topics with a prefix of the test's own, since tests share one broker. */
export function makeSettings(brokers: readonly string[], prefix: string): KafkaSettings {
  const { config } = loadConfig({
    KAFKA_TOPIC_EVENTS: `${prefix}_events`,
    KAFKA_TOPIC_OVERFLOW: `${prefix}_overflow`,
    KAFKA_TOPIC_HISTORICAL: `${prefix}_historical`,
    KAFKA_TOPIC_RECORDINGS: `${prefix}_recordings`,
    KAFKA_TOPIC_LINK_EVENTS: `${prefix}_links`,
    KAFKA_TOPIC_DEAD_LETTERS: `${prefix}_dead`,
    KAFKA_PARTITIONS: '4',
    KAFKA_LINGER_MS: '5',
    KAFKA_TIMEOUT_MS: '10000',
  })
  return { ...config, KAFKA_BROKERS: [...brokers] }
}

/** A log that keeps its lines. */
export function makeLog(): Log & { lines: { level: string; message: string }[] } {
  const lines: { level: string; message: string }[] = []
  const keep = (level: string) => (fields: object, message: string) => {
    lines.push({ ...fields, level, message })
  }
  return {
    ...{ lines, debug: keep('debug'), info: keep('info') },
    ...{ warn: keep('warn'), error: keep('error') },
  }
}

export const makeFault = (kind: SendFault['kind'], message = 'for a test'): SendFault => ({
  ...{ kind, reason: kind, message },
})

/** A report that keeps its calls. */
export function makeReport() {
  const retries: { reason: string; message: string }[] = []
  const dead: { uuid: string; reason: string }[] = []
  const report: SinkReport = {
    retried: (reason, message) => retries.push({ reason, message }),
    deadLettered: (record, reason) => dead.push({ uuid: record.head().uuid, reason }),
  }
  return { report, retries, dead }
}
