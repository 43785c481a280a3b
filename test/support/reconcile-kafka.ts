import type { KafkaRecord } from './kafka-records.ts'
import type { Ledger } from './traffic.ts'

/**
 * Checks that every acknowledged event is in Kafka, every event in Kafka was sent by a client, and values,
 * keys and headers are right. The first arrivals of one client's events for one key must have the client's
 * order. `records` must be in the order of their partitions.
 */
export function reconcileKafka(
  { sent, acknowledged }: Ledger,
  records: readonly KafkaRecord[],
): Findings {
  const seen = new Set<string>()
  const neverSent: string[] = []
  const altered: string[] = []
  const disordered: string[] = []
  const lastOf = new Map<string, number>()
  const partitionOf = new Map<string, number>()
  for (const record of records) {
    const row = JSON.parse(record.line) as Row
    const { uuid } = row
    if (!sent.has(uuid)) neverSent.push(uuid)
    else if (!isUnaltered(record, row, sent.get(uuid)!)) altered.push(uuid)
    if ((partitionOf.get(record.key) ?? record.partition) !== record.partition)
      disordered.push(uuid)
    partitionOf.set(record.key, record.partition)
    if (seen.has(uuid)) continue
    seen.add(uuid)
    const { seed, index } = row.properties
    const line = `${record.key} of client ${Math.floor(seed / 1e6)}`
    const place = seed * 100 + index
    if (place < (lastOf.get(line) ?? 0)) disordered.push(uuid)
    lastOf.set(line, place)
  }
  const lost = [...acknowledged].filter((uuid) => !seen.has(uuid))
  return { lost, neverSent, altered, disordered }
}

type Row = {
  uuid: string
  project: string
  distinct_id: string
  event: string
  properties: { seed: number; index: number }
}

function isUnaltered({ key, headers }: KafkaRecord, row: Row, properties: string): boolean {
  return (
    key === `${row.project}:${row.distinct_id}` &&
    headers.uuid === row.uuid &&
    headers.event === row.event &&
    headers.source === 'capture' &&
    JSON.stringify(row.properties) === properties
  )
}

export type Findings = Record<'lost' | 'neverSent' | 'altered' | 'disordered', string[]>
export const nothingWrongInKafka: Findings = {
  lost: [],
  neverSent: [],
  altered: [],
  disordered: [],
}
