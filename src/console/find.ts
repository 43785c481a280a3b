import type { ClickHouseReader } from './clickhouse.ts'
import { ConsoleError } from './exchange.ts'
import type { JournalMatch, JournalSearch } from './journal-search.ts'
import { findLetters, findLettersAt, findRows, type StoredRow } from './lookups.ts'
import type { SeenRequest, UnstoredEvent } from './observations.ts'
import type { Question } from './processes.ts'
import type { Refusal } from './refusal-log.ts'
import type { Delivery } from './stages.ts'
import { type EventTrace, type Findings, toEventTraces } from './trace.ts'

/** The answer of one process to the question `find`. */
export type Found = {
  requests: SeenRequest[]
  unstored: UnstoredEvent[]
  refusals: Refusal[]
  journal: JournalSearch
}

type Place = 'memory' | 'journal' | 'clickhouse' | 'dead_letters'
type Searched = { place: Place; complete: boolean; detail: string }

type FindOptions = {
  ask<T>(question: Question): Promise<{ answers: T[]; notes: string[] }>
  clickhouse: ClickHouseReader
  delivery(): Delivery
  now(): number
}

/**
 * Searches every place for an id: the uuid of an event, the id of a request, an id of the client, a
 * distinct_id. What a place cannot tell is said in `searched`.
 */
export async function findAll(options: FindOptions, id: string) {
  const { ask, now } = options
  const { answers, notes } = await ask<Found>({ type: 'find', id })
  const requests = answers.flatMap((one) => one.requests)
  const unstored = answers.flatMap((one) => one.unstored)
  const matches = answers.flatMap((one) => one.journal.matches)
  const stored = await searchClickHouse(options.clickhouse, { id, requests, unstored })
  const more = await findRequestsOf(options, [...stored.rows, ...matches])
  const accepted = requests.flatMap((request) => {
    const { uuids, received_ms, contract } = request
    const asked = uuids.filter((uuid) => uuid === id || isOfRequest(request, id))
    return asked.map((uuid) => ({ uuid, received_ms, contract }))
  })
  const findings = {
    ...{ unstored, matches, accepted, rows: stored.rows },
    ...{ letters: stored.letters, namedLetters: stored.namedLetters },
    requests: [...requests, ...more],
  }
  const events: EventTrace[] = toEventTraces(findings, options.delivery())
  const refusals = answers.flatMap((one) => one.refusals)
  return {
    id,
    at_ms: now(),
    found: events.length + refusals.length > 0,
    events,
    refusals,
    searched: [memory, toJournalPlace(answers), ...stored.searched],
    notes: [...notes, ...requests.flatMap((request) => toMore(request, id))],
  }
}

function toMore(request: SeenRequest, id: string): string[] {
  const { stored, uuids } = request
  if (!isOfRequest(request, id) || stored <= uuids.length) return []
  return [`the request stored ${stored} events; the first ${uuids.length} are searched`]
}

/** An id of a request names all of its events; any other id names those that carry it. */
export const isOfRequest = (request: Pick<SeenRequest, 'id' | 'client_id'>, id: string) =>
  request.id === id || request.client_id === id

const memory: Searched = {
  place: 'memory',
  complete: false,
  detail: 'the last requests since the start, at most 4000 in each process; the access log has all',
}

function toJournalPlace(answers: readonly Found[]): Searched {
  const searches = answers.map(({ journal }) => journal)
  const detail = [...new Set(searches.map((one) => one.detail))].join('; ')
  return { place: 'journal', complete: searches.every(({ complete }) => complete), detail }
}

type Known = {
  id: string
  requests: readonly SeenRequest[]
  unstored: readonly UnstoredEvent[]
}
type InClickHouse = Pick<Findings, 'letters' | 'namedLetters'> & {
  rows: StoredRow[]
  searched: Searched[]
}

async function searchClickHouse(clickhouse: ClickHouseReader, known: Known): Promise<InClickHouse> {
  const { id, requests, unstored } = known
  const uuids = [
    ...(uuidShape.test(id) ? [id.toLowerCase()] : []),
    ...requests.flatMap((one) => (isOfRequest(one, id) ? one.uuids : [])),
    ...unstored.flatMap(({ uuid }) => uuid ?? []),
  ]
  const rejectedMs = unstored.flatMap((one) => (one.outcome === 'rejected' ? one.at_ms : []))
  const [rows, byId, byTime] = await Promise.allSettled([
    findRows(clickhouse, { uuids: [...new Set(uuids)].slice(0, uuidsMax), id }),
    findLetters(clickhouse, id),
    findLettersAt(clickhouse, [...new Set(rejectedMs)].slice(0, uuidsMax)),
  ])
  const letters = new Map([...toRows(byId), ...toRows(byTime)].map((row) => [row.uuid, row]))
  const ofTime = byTime.status === 'rejected' ? byTime : byId
  return {
    rows: toRows(rows),
    letters: [...letters.values()],
    namedLetters: new Set(toRows(byId).map(({ uuid }) => uuid)),
    searched: [
      toPlaceOf('clickhouse', rows, 'all tables, 50 rows each at most'),
      toPlaceOf('dead_letters', ofTime, 'the last 30 days, 50 rows at most'),
    ],
  }
}

const uuidsMax = 100
const uuidShape = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const toRows = <T>(settled: PromiseSettledResult<T[]>): T[] =>
  settled.status === 'fulfilled' ? settled.value : []

/** A ClickHouse that is down hides nothing of what the other places know. */
function toPlaceOf(place: Place, settled: PromiseSettledResult<unknown>, what: string): Searched {
  if (settled.status === 'fulfilled') return { place, complete: true, detail: what }
  const { reason } = settled
  if (!(reason instanceof ConsoleError)) throw reason
  return { place, complete: false, detail: reason.message }
}

/** The requests of rows that were found by another id. */
async function findRequestsOf(
  { ask }: FindOptions,
  found: readonly (StoredRow | JournalMatch)[],
): Promise<SeenRequest[]> {
  if (found.length === 0) return []
  const received = found.map((one) => [toContract(one), one.received_ms] as const)
  const uuids = found.map(({ uuid }) => uuid)
  const { answers } = await ask<SeenRequest[]>({ type: 'requests', uuids, received })
  return answers.flat()
}

function toContract(one: StoredRow | JournalMatch): string {
  if ('contract' in one) return one.contract
  if (one.table === 'link_events') return 'link'
  return one.table === 'recordings' ? 'capture' : String(one.columns.source)
}
