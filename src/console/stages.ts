import type { Config } from '../config/config.ts'
import type { SinkName } from '../core/sink.ts'
import { toTopic } from '../delivery/kafka/message.ts'
import { toTopics } from '../delivery/kafka/settings.ts'
import { toPartition } from '../delivery/kafka/topic.ts'
import type { SinkPosition } from '../delivery/shipping.ts'
import type { JournalMatch } from './journal-search.ts'

/** One step of an event's way. `since_ms`: it waits since then. */
export type EventStage = {
  name: 'received' | 'journal' | 'dead_letter' | SinkName
  state: 'done' | 'waiting' | 'failed' | 'unknown'
  at_ms: number | null
  since_ms: number | null
  detail: string
}

/** `partition` is null if it cannot be told: the record has no key, or Kafka was not reached yet. */
export type KafkaPlace = { topic: string; partition: number | null }

/** The positions of the sinks now. */
export type Delivery = {
  config: Config
  sinks: Readonly<Record<string, SinkPosition & { lastError: string | null }>>
}

type Placed = {
  uuid: string
  received_ms: number
  match: JournalMatch | undefined
  isInClickHouse: boolean
}

export function toStages(placed: Placed, { sinks }: Delivery): EventStage[] {
  const { received_ms, match } = placed
  const done = { state: 'done', at_ms: received_ms, since_ms: null } as const
  const place = match ? `record ${match.offset}` : 'delivered, or in an earlier run of the server'
  return [
    { ...done, name: 'received', detail: '' },
    { ...done, name: 'journal', detail: place },
    ...Object.entries(sinks).map(([name, sink]) => toSinkStage(name as SinkName, sink, placed)),
  ]
}

function toSinkStage(name: SinkName, sink: Delivery['sinks'][string], placed: Placed): EventStage {
  const { uuid, received_ms, match, isInClickHouse } = placed
  const base = { name, at_ms: null, since_ms: null }
  const refused = sink.refusals.find((one) => one.uuid === uuid)
  if (refused) {
    const detail = `${name} refused it: ${refused.reason}`
    return { ...base, state: 'failed', at_ms: refused.atMs, detail }
  }
  if (name === 'clickhouse' && isInClickHouse)
    return { ...base, state: 'done', detail: 'the row is there' }
  if (match?.waiting.includes(name)) {
    const detail = sink.lastError ?? 'the next batch takes it'
    return { ...base, state: 'waiting', since_ms: received_ms, detail }
  }
  if (name === 'clickhouse' && !match)
    return { ...base, state: 'unknown', detail: 'no row was found' }
  // A record that no sink waits for is behind the cursor of each.
  return { ...base, state: 'done', detail: 'behind the cursor of the sink' }
}

type Located = {
  kind: JournalMatch['kind']
  match: JournalMatch | undefined
  columns: Record<string, unknown>
}

/** The topic, and the partition that the key has by the present number of partitions. */
export function toPlace({ kind, match, columns }: Located, delivery: Delivery): KafkaPlace | null {
  const { kafka } = delivery.sinks
  if (kafka === undefined) return null
  const route = match?.route ?? (columns.historical === true ? 'historical' : 'main')
  const topic = toTopic(toTopics(delivery.config), { kind, route })
  const count = kafka.partitions[topic]
  const key = match?.key ?? toKey(kind, columns)
  const isKeyless = kind === 'event' && route === 'overflow'
  if (count === undefined || isKeyless) return { topic, partition: null }
  return { topic, partition: toPartition(Buffer.from(key), count) }
}

/** As the contracts build it. */
function toKey(kind: JournalMatch['kind'], columns: Record<string, unknown>): string {
  if (kind === 'recording') return String(columns.session_id)
  if (kind === 'dead_letter') return String(columns.project)
  if (kind === 'link') return `${columns.project_id}:${columns.visitor_id}`
  return `${columns.project}:${columns.distinct_id}`
}
