import type { Config } from '../config/config.ts'
import { shareFor } from '../core/async.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { ConsoleError, createParameters, toErrorResponse, toJsonResponse } from './exchange.ts'
import { contracts, type Figures, parseFigures } from './figures.ts'
import { createHistory, intervalMs, type Point } from './history.ts'
import { toLiveResponse } from './live.ts'
import { type LiveBatch, type LiveFilter, outcomes, watchersMax } from './live-taps.ts'
import type { Observations } from './observations.ts'
import { type ProcessState, toOverview } from './overview.ts'
import { type AskOthers, collect, type Question } from './processes.ts'
import type { Refusal, RefusalCount } from './refusal-log.ts'
import type { ConsoleHandler, ConsoleRoutes } from './routes.ts'

/** The data behind the console and the commands, for those who may see it. */
export type Console = {
  /** Answers a request below `/console/api/`. The caller has checked who asks. */
  respond(request: Request): Promise<Response>
  /** Answers a question of another process of the node. */
  answer(question: Question): Promise<unknown>
  close(): void
}

export type ConsoleOptions = {
  config: Config
  now: Clock
  log: Log
  observations: Observations
  /** Of several processes one keeps the history. */
  isSampler: boolean
  /** The metrics of all processes together. */
  readMetrics(): Promise<{ text: string }>
  readState(): ProcessState
  askOthers: AskOthers
}

export function createConsole(options: ConsoleOptions): Console {
  const { now, readMetrics, isSampler } = options
  const read = async () => parseFigures((await readMetrics()).text, now())
  const history = createHistory({ read, isSampling: isSampler })
  const answer = createAnswer(options, { read: shareFor(overviewFreshMs, read), history })
  const closing = new AbortController()
  const parts = { ...options, answer, watching: { count: 0 }, closing: closing.signal }
  const routes: ConsoleRoutes = { ...overviewRoutes(parts), ...liveRoutes(parts) }
  return {
    respond: (request) => respond(routes, request, options.log),
    answer,
    close() {
      // A stream would hold up the stop of the server.
      closing.abort()
      history.close()
    },
  }
}

/** Those who look at once share one text of the metrics: it takes the serving thread some milliseconds. */
const overviewFreshMs = 500

async function respond(routes: ConsoleRoutes, request: Request, log: Log): Promise<Response> {
  try {
    const { pathname, searchParams } = new URL(request.url)
    const handler = findHandler(routes, request.method, pathname)
    const parameters = createParameters(searchParams)
    const reply = await handler({ request, parameters })
    return reply instanceof Response ? reply : toJsonResponse(reply)
  } catch (error) {
    if (error instanceof ConsoleError) return toErrorResponse(error)
    log.error({ error: String(error), url: request.url }, 'the console failed to answer')
    const detail = 'the server failed; its log has the details'
    return toErrorResponse(new ConsoleError(500, 'internal_error', detail))
  }
}

function findHandler(routes: ConsoleRoutes, method: string, pathname: string): ConsoleHandler {
  const path = pathname.replace(/^\/console\/api\/|\/$/g, '')
  const handler = routes[`${method} ${path}`]
  if (handler) return handler
  const isKnown = ['GET', 'POST'].some((other) => routes[`${other} ${path}`])
  if (isKnown) throw new ConsoleError(405, 'method_not_allowed', `${path} does not take ${method}`)
  throw new ConsoleError(404, 'not_found', 'there is no such route')
}

type History = ReturnType<typeof createHistory>
type Sampling = { read(): Promise<Figures>; history: History }

/** What this process knows by itself. */
function createAnswer(
  { observations, isSampler, config, now, readState }: ConsoleOptions,
  { read, history }: Sampling,
) {
  return async (question: Question): Promise<unknown> => {
    if (question.type === 'state') return readState()
    if (question.type === 'history') return isSampler ? history.points(question.minutes) : null
    if (question.type === 'live')
      return observations.taps.take(question.watcher, question.filter, now())
    if (question.type === 'refusals') {
      const { contract, reason } = question
      return {
        refusals: observations.refusals.list(
          (one) =>
            (contract === undefined || one.contract === contract) &&
            (reason === undefined || one.reason === reason),
        ),
        by_reason: observations.refusals.counts(),
      }
    }
    if (question.type === 'overview' && isSampler) {
      const figures = await read()
      const states = question.states as ProcessState[]
      const before = history.last(figures.atMs)
      return toOverview({ figures, before, states, durability: config.DURABILITY })
    }
    return null
  }
}

type Parts = ConsoleOptions & {
  answer(question: Question): Promise<unknown>
  watching: { count: number }
  closing: AbortSignal
}

function overviewRoutes(parts: Parts): ConsoleRoutes {
  return {
    'GET overview': async () => {
      const { answers: states, notes } = await collect<ProcessState>(parts, { type: 'state' })
      const { answers } = await collect<object>(parts, { type: 'overview', states })
      if (answers[0] === undefined) throw noSampler()
      return { ...answers[0], notes }
    },
    'GET history': async ({ parameters }) => {
      const minutes = parameters.integer('minutes', { min: 1, max: 60, fallback: 60 })
      parameters.assertAllRead()
      const { answers } = await collect<Point[]>(parts, { type: 'history', minutes })
      if (answers[0] === undefined) throw noSampler()
      return { interval_seconds: intervalMs / 1000, points: answers[0], notes: [] }
    },
    'GET refusals': async ({ parameters }) => {
      const contract = parameters.choice('contract', contracts)
      const reason = parameters.text('reason')
      const limit = parameters.integer('limit', { min: 1, max: 1000, fallback: 100 })
      parameters.assertAllRead()
      const question = { type: 'refusals', contract, reason } as const
      const { answers, notes } = await collect<Refusals>(parts, question)
      const refusals = answers.flatMap((one) => one.refusals)
      return {
        refusals: refusals.sort((a, b) => b.at_ms - a.at_ms).slice(0, limit),
        by_reason: addCounts(answers.flatMap((one) => one.by_reason)),
        notes,
      }
    },
  }
}

type Refusals = { refusals: Refusal[]; by_reason: RefusalCount[] }

const noSampler = () =>
  new ConsoleError(503, 'starting', 'worker-0 keeps the history and does not answer; try again')

function addCounts(counts: readonly RefusalCount[]): RefusalCount[] {
  const sums = new Map<string, RefusalCount>()
  for (const one of counts) {
    const key = `${one.contract} ${one.reason}`
    sums.set(key, { ...one, requests: one.requests + (sums.get(key)?.requests ?? 0) })
  }
  return [...sums.values()].sort((a, b) => b.requests - a.requests)
}

function liveRoutes(parts: Parts): ConsoleRoutes {
  const { watching, closing, now } = parts
  return {
    'GET live': async ({ request, parameters }) => {
      const filter = toFilter({
        project: parameters.text('project'),
        contract: parameters.choice('contract', contracts),
        event: parameters.text('event'),
        distinct_id: parameters.text('distinct_id'),
        outcome: parameters.choice('outcome', outcomes),
      })
      parameters.assertAllRead()
      if (watching.count >= watchersMax)
        throw new ConsoleError(409, 'console_busy', `${watchersMax} others watch already`)
      watching.count += 1
      const question = { type: 'live', watcher: crypto.randomUUID(), filter } as const
      return toLiveResponse({
        take: async () => addBatches((await collect<LiveBatch>(parts, question)).answers),
        signal: AbortSignal.any([request.signal, closing]),
        now,
        onEnd: () => {
          watching.count -= 1
        },
      })
    },
  }
}

function toFilter(given: Record<keyof LiveFilter, string | undefined>): Record<string, string> {
  const set = Object.entries(given).filter(([, text]) => text !== undefined)
  return Object.fromEntries(set) as Record<string, string>
}

const addBatches = (batches: readonly LiveBatch[]): LiveBatch => ({
  events: batches.flatMap(({ events }) => events).sort((a, b) => a.at_ms - b.at_ms),
  skipped: batches.reduce((sum, { skipped }) => sum + skipped, 0),
})
