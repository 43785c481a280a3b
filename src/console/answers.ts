import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Drain } from './drain-routes.ts'
import type { Figures } from './figures.ts'
import { type Found, isOfRequest } from './find.ts'
import type { Forget } from './forget-routes.ts'
import type { History } from './history.ts'
import { searchJournal } from './journal-search.ts'
import type { Observations } from './observations.ts'
import { type ProcessState, toOverview } from './overview.ts'
import type { Question } from './processes.ts'

/** The journal of this process, and how far its sinks are. */
export type JournalPosition = {
  journalDir: string
  endOffset: number
  hasClickHouse: boolean
  cursors: Readonly<Record<string, number>>
}

export type AnswerOptions = {
  config: Config
  now: Clock
  log: Log
  observations: Observations
  /** Of several processes one keeps the history. */
  isSampler: boolean
  readState(): ProcessState
  readPosition(): JournalPosition
  readFigures(): Promise<Figures>
  drain: Pick<Drain, 'begin' | 'read'>
  forget: Forget
  history: History
}

/** Answers with what this process knows by itself. */
export function createAnswer(options: AnswerOptions) {
  const { observations, isSampler, now, history } = options
  return async (question: Question): Promise<unknown> => {
    switch (question.type) {
      case 'state':
        return options.readState()
      case 'drain':
        if (question.begin) options.drain.begin()
        return options.drain.read()
      case 'forget':
        if (question.begin) options.forget.begin(question.person)
        return options.forget.read(question.person)
      case 'history':
        return isSampler ? history.points(question.minutes) : null
      case 'live':
        return observations.taps.take(question.watcher, question.filter, now())
      case 'refusals':
        return listRefusals(observations, question)
      case 'overview':
        return isSampler ? await readOverview(options, question.states) : null
      case 'find':
        return await find(options, question.id)
      case 'requests':
        return findRequests(observations, question)
    }
  }
}

type Asked<T extends Question['type']> = Extract<Question, { type: T }>

function listRefusals({ refusals }: Observations, { contract, reason }: Asked<'refusals'>) {
  const isWanted = (one: { contract: string; reason: string }) =>
    (contract === undefined || one.contract === contract) &&
    (reason === undefined || one.reason === reason)
  return { refusals: refusals.list(isWanted), by_reason: refusals.counts() }
}

async function readOverview(
  { config, history, readFigures }: AnswerOptions,
  states: readonly unknown[],
) {
  const figures = await readFigures()
  const before = history.last(figures.atMs)
  const known = states as ProcessState[]
  return toOverview({ figures, before, states: known, durability: config.DURABILITY })
}

const requestsMax = 20
const unstoredMax = 100

async function find(options: AnswerOptions, id: string): Promise<Found> {
  const { observations, log, readPosition } = options
  const requests = observations.findRequests(id).slice(0, requestsMax)
  const asked = requests.filter((request) => isOfRequest(request, id))
  const ids = new Set([id, ...asked.map((request) => request.id)])
  const unstored = observations.findUnstored(ids).slice(0, unstoredMax)
  const journal = await searchJournal({
    ...readPosition(),
    ids: new Set([id, ...asked.flatMap(({ uuids }) => uuids)]),
    dedupKeys: new Set(unstored.flatMap(({ dedup_key }) => dedup_key ?? [])),
    log,
  })
  const refusals = observations.refusals.list(
    ({ request_id, client_id }) => request_id === id || client_id === id,
  )
  return { requests, unstored, refusals, journal }
}

function findRequests(observations: Observations, { uuids, received }: Asked<'requests'>) {
  const named = uuids.flatMap((uuid) => observations.findRequests(uuid))
  const atTime = received.flatMap(([contract, ms]) => observations.requestsAt(contract, ms))
  return [...new Set([...named, ...atTime])].slice(0, unstoredMax)
}
