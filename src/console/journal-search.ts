import type { Log } from '../core/log.ts'
import type { StoredRecord } from '../core/record.ts'
import { openReader } from '../journal/reader.ts'
import { parseJson } from './exchange.ts'

/** A record of the journal that names one of the ids, and the sinks that do not have it yet. */
export type JournalMatch = {
  offset: number
  kind: StoredRecord['kind']
  route: StoredRecord['route']
  contract: StoredRecord['source']
  uuid: string
  dedup_key: string | null
  event: string
  /** Kafka's key. */
  key: string
  received_ms: number
  waiting: string[]
  /** The columns, as they will be stored; null if the line is too large to show. */
  line: Record<string, unknown> | null
}

export type JournalSearch = {
  matches: JournalMatch[]
  complete: boolean
  /** Says what was searched. */
  detail: string
}

type SearchOptions = {
  journalDir: string
  /** Where the commits end. */
  endOffset: number
  /** Whether what every sink has can be found elsewhere. */
  hasClickHouse: boolean
  /** By sink. */
  cursors: Readonly<Record<string, number>>
  ids: ReadonlySet<string>
  /** Of duplicates: their originals have the same keys. */
  dedupKeys: ReadonlySet<string>
  log: Log
}

/** Small enough that requests between two pages wait for some 3 ms at most. */
const page = { bytesMax: 512 * 1024, recordsMax: 512 }
const bytesMax = 256 * 1024 * 1024
const msMax = 4000
const matchesMax = 50
const lineBytesMax = 256 * 1024

/**
 * Searches the records that are not delivered everywhere; what every sink has is found in
 * ClickHouse. Without ClickHouse it searches all that the journal still holds. It reads the journal's files page by page, and lets requests pass in between.
 */
export async function searchJournal(options: SearchOptions): Promise<JournalSearch> {
  const { endOffset, cursors, ids, dedupKeys, hasClickHouse } = options
  const fromOffset = hasClickHouse ? Math.min(endOffset, ...Object.values(cursors)) : 0
  if (fromOffset === endOffset || ids.size + dedupKeys.size === 0)
    return { matches: [], complete: true, detail: 'every sink has every record' }
  const needles = [...ids].map((id) => Buffer.from(JSON.stringify(id).slice(1, -1)))
  const isMatch = createIsMatch(needles, options)
  const reader = await openReader({ dir: options.journalDir, log: options.log })
  const matches: JournalMatch[] = []
  const deadlineMs = performance.now() + msMax
  let at = fromOffset
  let bytes = 0
  try {
    while (at < endOffset && matches.length < matchesMax) {
      const records = await reader.read(at, { ...page, endOffset })
      if (records.length === 0) break
      bytes += records.reduce((sum, { lineBytes }) => sum + lineBytes, 0)
      matches.push(...records.filter(isMatch).map((record) => toMatch(record, cursors)))
      at = records.at(-1)!.offset + 1
      if (bytes > bytesMax || performance.now() > deadlineMs) break
      await new Promise((resolve) => setImmediate(resolve))
    }
  } finally {
    await reader.close()
  }
  const complete = at >= endOffset || matches.length >= matchesMax
  const what = hasClickHouse ? 'records that some sink does not have yet' : 'records of the journal'
  const detail = complete ? `all ${what}` : `a part of the ${what}: the oldest`
  return { matches: matches.slice(0, matchesMax), complete, detail }
}

function createIsMatch(needles: readonly Buffer[], { ids, dedupKeys }: SearchOptions) {
  return (record: StoredRecord): boolean => {
    if (dedupKeys.size > 0) {
      const { dedupKey } = record.head()
      if (dedupKey !== undefined && dedupKeys.has(dedupKey)) return true
    }
    const { buffer, byteOffset, byteLength } = record.line
    const line = Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
    if (!needles.some((needle) => line.includes(needle))) return false
    // The text may stand in a property of another event.
    if (ids.has(record.head().uuid) || record.kind === 'dead_letter') return true
    return toIds(toColumns(record) ?? {}).some((id) => ids.has(id))
  }
}

/** The columns by which a person looks for an event. */
const toIds = (row: Record<string, unknown>) =>
  [row.distinct_id, row.event_id, row.visitor_id, row.session_id].filter(
    (id): id is string => typeof id === 'string' && id !== '',
  )

function toColumns({ line }: StoredRecord): Record<string, unknown> | null {
  if (line.byteLength > lineBytesMax) return null
  return parseJson(new TextDecoder().decode(line)) as Record<string, unknown> | null
}

function toMatch(record: StoredRecord, cursors: SearchOptions['cursors']): JournalMatch {
  const { offset, kind, route, source, receivedMs } = record
  const { uuid, event, key, dedupKey = null } = record.head()
  return {
    ...{ offset, kind, route, contract: source, uuid, event, key, received_ms: receivedMs },
    dedup_key: dedupKey,
    waiting: Object.keys(cursors).filter((sink) => offset >= cursors[sink]!),
    line: toColumns(record),
  }
}
