import type { DeadLetterRow } from '../../core/event.ts'
import { deadLetterRawBytesMax } from '../../core/limits.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { KafkaMessage } from './message.ts'

export type DeadLetterReason = 'record_too_large' | 'record_refused'

/** A record that Kafka will not take, as the dead letter topic has them: keyed by project, named by reason. */
export function toDeadLetter(
  record: StoredRecord,
  { reason, detail, nowMs }: { reason: DeadLetterReason; detail: string; nowMs: number },
): KafkaMessage {
  const { uuid } = record.head()
  const { project, ip } = toOrigin(record.line)
  const row = {
    uuid,
    project,
    protocol: record.source,
    stage: 'kafka',
    reason,
    detail,
    received_at: new Date(nowMs).toISOString(),
    ip,
    raw: new TextDecoder().decode(record.line.subarray(0, deadLetterRawBytesMax)),
  } satisfies Record<keyof DeadLetterRow, unknown>
  return {
    key: Buffer.from(project),
    value: Buffer.from(JSON.stringify(row)),
    headers: { uuid, event: reason, source: record.source },
  }
}

/** The one place where a shipper parses a line: such a record is rare. */
function toOrigin(line: Uint8Array): { project: string; ip: string } {
  try {
    const row = JSON.parse(new TextDecoder().decode(line))
    return { project: String(row.project ?? row.project_id ?? ''), ip: String(row.ip ?? '') }
  } catch {
    return { project: '', ip: '' }
  }
}
