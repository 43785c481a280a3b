import { type Console, createConsole } from '../console/console.ts'
import { ConsoleError, toErrorResponse } from '../console/exchange.ts'
import type { Observations } from '../console/observations.ts'
import type { ProcessState } from '../console/overview.ts'
import type { AskOthers } from '../console/processes.ts'
import type { Metrics } from '../observability/metrics.ts'
import { toRedisState } from './observability.ts'
import type { Services } from './services.ts'

type ServerConsoleOptions = {
  observations: Observations
  /** The metrics of all processes together. */
  readMetrics: Metrics['text']
  worker: { index: number; askOthers: AskOthers } | undefined
}

/** Connects the console with the parts whose data it shows. */
export function createServerConsole(services: Services, options: ServerConsoleOptions): Console {
  const { worker, ...rest } = options
  return createConsole({
    ...rest,
    config: services.config,
    log: services.log,
    now: Date.now,
    isSampler: worker === undefined || worker.index === 0,
    askOthers: worker?.askOthers ?? (async () => []),
    readState: () => readState(services),
  })
}

/** Answers until the journal is open. */
export async function answerStarting(): Promise<Response> {
  const detail = 'the server is starting; try again'
  return toErrorResponse(new ConsoleError(503, 'starting', detail))
}

function readState(services: Services): ProcessState {
  const { journal, shipping } = services.storage
  const { isFull, isFailing, oldestMs } = journal.stats()
  const sinks = Object.entries(shipping.health()).map(([name, { state, lagEvents, lastError }]) => [
    name,
    { isHealthy: state === 'healthy', lagRecords: lagEvents, lastError: lastError ?? null },
  ])
  return {
    sinks: Object.fromEntries(sinks),
    isJournalFull: isFull,
    isJournalFailing: isFailing,
    oldestMs: oldestMs ?? null,
    redis: toRedisState(services),
  }
}
