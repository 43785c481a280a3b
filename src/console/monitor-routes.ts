import type { Clock } from '../core/clock.ts'
import type { ClickHouseReader } from './clickhouse.ts'
import { ConsoleError, invalid, once } from './exchange.ts'
import { contracts } from './figures.ts'
import { findAll } from './find.ts'
import { intervalMs, type Point } from './history.ts'
import { toLiveResponse } from './live.ts'
import { type LiveBatch, type LiveFilter, outcomes, watchersMax } from './live-taps.ts'
import type { ProcessState } from './overview.ts'
import type { Ask } from './processes.ts'
import type { Refusal, RefusalCount } from './refusal-log.ts'
import type { ConsoleRoutes } from './routes.ts'
import type { Delivery } from './stages.ts'

/** The present, the last hour, what passes, and the way of one event. */
export function monitorRoutes(parts: MonitorParts): ConsoleRoutes {
  return { ...overviewRoutes(parts), ...liveRoutes(parts), ...traceRoutes(parts) }
}

type MonitorParts = {
  now: Clock
  ask: Ask
  clickhouse: ClickHouseReader
  delivery(): Delivery
  /** Aborts when the server stops. */
  closing: AbortSignal
}

function overviewRoutes({ ask }: MonitorParts): ConsoleRoutes {
  return {
    'GET overview': async () => {
      const { answers: states, notes } = await ask<ProcessState>({ type: 'state' })
      const { answers } = await ask<object>({ type: 'overview', states })
      if (answers[0] === undefined) throw noSampler()
      return { ...answers[0], notes }
    },
    'GET history': async ({ parameters }) => {
      const minutes = parameters.integer('minutes', { min: 1, max: 60, fallback: 60 })
      parameters.assertAllRead()
      const { answers } = await ask<Point[]>({ type: 'history', minutes })
      if (answers[0] === undefined) throw noSampler()
      return { interval_seconds: intervalMs / 1000, points: answers[0], notes: [] }
    },
    'GET refusals': async ({ parameters }) => {
      const contract = parameters.choice('contract', contracts)
      const reason = parameters.text('reason')
      const limit = parameters.integer('limit', { min: 1, max: 1000, fallback: 100 })
      parameters.assertAllRead()
      const question = { type: 'refusals', contract, reason } as const
      const { answers, notes } = await ask<Refusals>(question)
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

function liveRoutes({ ask, closing, now }: MonitorParts): ConsoleRoutes {
  let watching = 0
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
      if (watching >= watchersMax)
        throw new ConsoleError(409, 'console_busy', `${watchersMax} others watch already`)
      watching += 1
      const question = { type: 'live', watcher: crypto.randomUUID(), filter } as const
      return toLiveResponse({
        take: async () => addBatches((await ask<LiveBatch>(question)).answers),
        signal: AbortSignal.any([request.signal, closing]),
        now,
        onEnd: once(() => {
          watching -= 1
        }),
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

const idCharsMax = 400

function traceRoutes(parts: MonitorParts): ConsoleRoutes {
  return {
    'GET trace': async ({ parameters }) => {
      const id = parameters.text('id')
      parameters.assertAllRead()
      if (id === undefined)
        throw invalid('id is missing; send a uuid, a request id, or a distinct_id')
      if (id.length > idCharsMax) throw invalid(`id has more than ${idCharsMax} characters`)
      return await findAll(parts, id)
    },
  }
}
