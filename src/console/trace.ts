import { toHint } from './hints.ts'
import type { JournalMatch } from './journal-search.ts'
import type { LetterRow, StoredRow } from './lookups.ts'
import type { SeenRequest, UnstoredEvent } from './observations.ts'
import { type Delivery, type EventStage, type KafkaPlace, toPlace, toStages } from './stages.ts'

/** One event and its way, as far as it is known. */
export type EventTrace = {
  uuid: string
  kind: JournalMatch['kind']
  contract: string
  project: string
  event: string
  distinct_id: string
  received_ms: number
  outcome: 'stored' | UnstoredEvent['outcome']
  request: Omit<SeenRequest, 'stored' | 'uuids' | 'contract'> | null
  duplicate_of: { uuid: string; received_ms: number; request_id: string | null } | null
  reason: string | null
  message: string | null
  hint: string | null
  stages: EventStage[]
  row: { table: string; columns: Record<string, unknown> } | null
  line: Record<string, unknown> | null
  kafka: KafkaPlace | null
  dead_letter_uuid: string | null
}

/** All that the places know of one id. */
export type Findings = {
  requests: readonly SeenRequest[]
  unstored: readonly UnstoredEvent[]
  matches: readonly JournalMatch[]
  rows: readonly StoredRow[]
  letters: readonly LetterRow[]
  /** Those that the id itself leads to. The others were received when a rejected event was. */
  namedLetters: ReadonlySet<string>
  /** Events that this server acknowledged, wherever they are now. */
  accepted: readonly Sent[]
}

type Sent = { uuid: string; received_ms: number; contract: string }

const eventsMax = 50

/** Puts together what was found of each event; newest first. */
export function toEventTraces(findings: Findings, delivery: Delivery): EventTrace[] {
  const stored = toStored(findings, delivery)
  const used = new Set<string>()
  const unstored = findings.unstored.map((event) => toUnstored(event, { findings, stored, used }))
  const letters = findings.letters
    .filter(({ uuid }) => !used.has(uuid) && !stored.some((one) => one.uuid === uuid))
    .filter((letter) => findings.namedLetters.has(letter.uuid))
    .map((letter) => toLetter(letter, findings))
  return [...stored, ...unstored, ...letters]
    .sort((a, b) => b.received_ms - a.received_ms)
    .slice(0, eventsMax)
}

const nothing = {
  ...{ request: null, duplicate_of: null, reason: null, message: null, hint: null },
  ...{ row: null, line: null, kafka: null, dead_letter_uuid: null },
}

/** Events that the journal or ClickHouse holds. A row in both is one event. */
function toStored(findings: Findings, delivery: Delivery): EventTrace[] {
  const events = new Map<string, { match?: JournalMatch; row?: StoredRow; sent?: Sent }>()
  for (const sent of findings.accepted) events.set(sent.uuid, { sent })
  for (const match of findings.matches) events.set(match.uuid, { ...events.get(match.uuid), match })
  for (const row of findings.rows) events.set(row.uuid, { ...events.get(row.uuid), row })
  return [...events].map(([uuid, { match, row, sent }]) => {
    const columns = row?.columns ?? match?.line ?? {}
    const names = toNames(columns, match?.contract ?? sent?.contract, match?.event)
    const received_ms = row?.received_ms ?? match?.received_ms ?? sent!.received_ms
    const kind = match?.kind ?? row?.kind ?? (names.contract === 'link' ? 'link' : 'event')
    const isLetter = kind === 'dead_letter'
    const reason = isLetter ? String(columns.reason ?? match?.event) : null
    return {
      ...{ ...nothing, ...names, uuid, kind, received_ms },
      outcome: isLetter ? 'rejected' : 'stored',
      request: findRequest(findings.requests, { uuid, received_ms, contract: names.contract }),
      reason,
      message: isLetter ? String(columns.detail ?? '') : null,
      hint: reason === null ? null : toHint(reason),
      stages: toStages({ uuid, received_ms, match, isInClickHouse: row !== undefined }, delivery),
      row: row ? { table: row.table, columns: row.columns } : null,
      line: match?.line ?? null,
      kafka: toPlace({ kind, match, columns }, delivery),
      dead_letter_uuid: isLetter ? uuid : null,
    }
  })
}

/** Link events name their columns otherwise. */
function toNames(
  columns: Record<string, unknown>,
  contract: string | undefined,
  event: string | undefined,
) {
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const isLink = columns.event_type !== undefined
  const isRecording = columns.snapshot_items !== undefined
  const source = isLink
    ? 'link'
    : isRecording
      ? 'capture'
      : text(columns.source ?? columns.protocol)
  return {
    contract: contract ?? source,
    project: text(columns.project ?? columns.project_id),
    event: event ?? (isRecording ? '$snapshot' : text(columns.event ?? columns.event_type)),
    distinct_id: text(columns.distinct_id ?? columns.visitor_id),
  }
}

/** A request names its first events only. Another one is found by contract and time, if one fits. */
function findRequest(requests: readonly SeenRequest[], sent: Sent): EventTrace['request'] {
  const named = requests.find(({ uuids }) => uuids.includes(sent.uuid))
  const possible = requests.filter(
    (one) =>
      one.received_ms === sent.received_ms &&
      one.contract === sent.contract &&
      one.stored > one.uuids.length,
  )
  const found = named ?? (possible.length === 1 ? possible[0] : undefined)
  if (found === undefined) return null
  const { stored: _, uuids: __, contract: ___, ...request } = found
  return request
}

type UnstoredParts = { findings: Findings; stored: readonly EventTrace[]; used: Set<string> }

function toUnstored(event: UnstoredEvent, parts: UnstoredParts): EventTrace {
  const { findings, stored, used } = parts
  const letter =
    event.outcome === 'rejected' ? takeLetter(event, findings.letters, used) : undefined
  const original = event.outcome === 'duplicate' ? findOriginal(event, findings, stored) : undefined
  const received_ms = event.at_ms
  return {
    ...nothing,
    uuid: letter?.uuid ?? event.uuid ?? '',
    kind: letter ? 'dead_letter' : 'event',
    contract: event.contract,
    project: letter?.project ?? event.project,
    event: event.event,
    distinct_id: event.distinct_id,
    received_ms,
    outcome: event.outcome,
    request: {
      ...{ id: event.request_id, client_id: event.client_id, client_ip: event.client_ip },
      ...{ method: event.method, path: event.path, received_ms },
    },
    duplicate_of: original ?? null,
    reason: event.reason,
    message: event.message,
    hint: toHint(event.reason),
    stages: toUnstoredStages(event, letter),
    dead_letter_uuid: letter?.uuid ?? null,
  }
}

function toUnstoredStages(event: UnstoredEvent, letter: LetterRow | undefined): EventStage[] {
  const received: EventStage = {
    ...{ name: 'received', state: 'done', at_ms: event.at_ms, since_ms: null, detail: '' },
  }
  if (event.outcome !== 'rejected')
    return [received, { ...received, name: 'journal', state: 'failed', detail: event.message }]
  const state = letter ? 'done' : 'waiting'
  const detail = letter ? event.message : 'the dead letter is on its way to ClickHouse'
  return [received, { ...received, name: 'dead_letter', state, detail }]
}

/** The dead letters of a request have its time, and lie in the order of its events. */
function takeLetter(event: UnstoredEvent, letters: readonly LetterRow[], used: Set<string>) {
  const fitting = letters.filter(
    (letter) =>
      !used.has(letter.uuid) &&
      letter.received_ms === event.at_ms &&
      letter.reason === event.reason &&
      letter.protocol === event.contract &&
      letter.project === event.project,
  )
  const named = fitting.find(({ raw }) => event.event !== '' && raw.includes(event.event))
  const letter = named ?? fitting[0]
  if (letter) used.add(letter.uuid)
  return letter
}

function findOriginal(
  event: UnstoredEvent,
  { matches, requests }: Findings,
  stored: readonly EventTrace[],
): EventTrace['duplicate_of'] {
  const match = matches.find(({ dedup_key }) => dedup_key !== null && dedup_key === event.dedup_key)
  const original = match ?? stored.find(({ uuid }) => uuid === event.uuid)
  const uuid = original?.uuid ?? event.uuid
  const request = requests.find((one) => uuid !== null && one.uuids.includes(uuid))
  if (uuid === null || (original === undefined && request === undefined)) return null
  const received_ms = original?.received_ms ?? request!.received_ms
  return { uuid, received_ms, request_id: request?.id ?? null }
}

function toLetter(letter: LetterRow, findings: Findings): EventTrace {
  const { uuid, protocol, project, reason, detail, received_ms, stage } = letter
  const base = { at_ms: null, since_ms: null }
  return {
    ...{ ...nothing, uuid, kind: 'dead_letter', contract: protocol, project, received_ms },
    ...{ event: '', distinct_id: '', outcome: 'rejected' },
    request: findRequest(findings.requests, { uuid, received_ms, contract: protocol }),
    ...{ reason, message: detail, hint: toHint(reason), dead_letter_uuid: uuid },
    stages: [
      { ...base, name: 'received', state: 'done', at_ms: received_ms, detail: '' },
      {
        ...{ ...base, name: 'dead_letter', state: 'failed' },
        detail: stage === 'normalise' ? detail : `${stage} refused it: ${detail}`,
      },
    ],
  }
}
