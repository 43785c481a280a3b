import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type Received, readTopic, requireKcat } from '../kafka-reader.ts'
import { shared } from '../shared.ts'

/** The real server with a real Kafka, in topics of its own. */
export type Pipeline = Spillway & {
  /** Resolves with the rows of the query once there are at least `count`. */
  rows<T>(sql: string, count: number): Promise<T[]>
  /** The same for the records of a topic. */
  records(topic: 'events' | 'link_events' | 'recordings', count: number): Promise<Received[]>
}

const patience = { timeoutMs: 30_000, pauseMs: 50 }

export async function startPipeline(environment: Record<string, string> = {}): Promise<Pipeline> {
  await requireKcat()
  const brokers = await shared.kafka()
  const prefix = crypto.randomUUID()
  const server = await startSpillway({
    KAFKA_BROKERS: brokers.join(','),
    KAFKA_TOPIC_EVENTS: `${prefix}.events`,
    KAFKA_TOPIC_OVERFLOW: `${prefix}.overflow`,
    KAFKA_TOPIC_HISTORICAL: `${prefix}.historical`,
    KAFKA_TOPIC_RECORDINGS: `${prefix}.recordings`,
    KAFKA_TOPIC_LINK_EVENTS: `${prefix}.link_events`,
    KAFKA_TOPIC_DEAD_LETTERS: `${prefix}.dead_letters`,
    KAFKA_PARTITIONS: '2',
    ...environment,
  })
  return {
    ...server,
    rows: (sql, count) => atLeast(count, () => server.query(sql), sql),
    records: (topic, count) =>
      atLeast(count, () => readTopic(brokers, `${prefix}.${topic}`), topic),
  }
}

export async function atLeast<T>(count: number, read: () => Promise<T[]>, what: string) {
  let found: T[] = []
  const isThere = async () => {
    found = await read()
    return found.length >= count
  }
  await until(isThere, { ...patience, what: `${count} of "${what}"` })
  return found
}

export type Answer = { status: number; body: unknown; headers: Headers }

/** Sends a body that is not a string as JSON. Returns a reply that is not JSON as text. */
export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: isRaw ? (body as string) : JSON.stringify(body),
  })
  return {
    status: response.status,
    body: toValue(await response.text()),
    headers: response.headers,
  }
}

function toValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

type Column = { name: string; type: string }

/** Column types by name. */
export async function typesOf(server: Spillway, table: string): Promise<Record<string, string>> {
  const columns = await server.query<Column>(`DESCRIBE TABLE ${table}`)
  return Object.fromEntries(columns.map(({ name, type }) => [name, type]))
}
