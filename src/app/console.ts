import { join } from 'node:path'
import { version } from '../../package.json'
import type { JournalPosition } from '../console/answers.ts'
import { type Console, createConsole } from '../console/console.ts'
import type { Drain } from '../console/drain-routes.ts'
import { ConsoleError, toErrorResponse } from '../console/exchange.ts'
import type { Observations } from '../console/observations.ts'
import type { ProcessState } from '../console/overview.ts'
import type { AskOthers } from '../console/processes.ts'
import type { Delivery } from '../console/stages.ts'
import type { createContracts } from '../contracts/registry.ts'
import type { Metrics } from '../observability/metrics.ts'
import { createForget } from './forget.ts'
import { toRedisState } from './observability.ts'
import type { Services } from './services.ts'

type ServerConsoleOptions = {
  observations: Observations
  /** The metrics of all processes together. */
  readMetrics: Metrics['text']
  worker: { index: number; askOthers: AskOthers } | undefined
  contracts: ReturnType<typeof createContracts>
  nextId(): string
  /** The port of the embedded ClickHouse's queries, if they are answered. */
  queryPort: number | undefined
  drain: Drain
}

/** Connects the console with the parts whose data it shows. */
export function createServerConsole(services: Services, options: ServerConsoleOptions): Console {
  const { worker, ...rest } = options
  const hasClickHouse = 'clickhouse' in services.storage.shipping.positions()
  return createConsole({
    ...rest,
    ...{ version, hasClickHouse },
    config: services.config,
    forget: createForget(services),
    projects: services.projects,
    ingestOptions: services.ingestOptions,
    log: services.log,
    now: Date.now,
    isSampler: worker === undefined || worker.index === 0,
    askOthers: worker?.askOthers ?? (async () => []),
    readState: () => readState(services),
    readPosition: () => ({ ...readPosition(services), hasClickHouse }),
    readDelivery: () => readDelivery(services),
  })
}

function readPosition({
  config,
  storage: { journal, shipping },
}: Services): Omit<JournalPosition, 'hasClickHouse'> {
  const cursors = Object.entries(shipping.positions()).map(([name, { cursor }]) => [name, cursor])
  return {
    journalDir: join(config.dataDir, 'journal'),
    endOffset: journal.endOffset,
    cursors: Object.fromEntries(cursors),
  }
}

function readDelivery({ config, storage: { shipping } }: Services): Delivery {
  const health = shipping.health()
  const sinks = Object.entries(shipping.positions()).map(([name, position]) => [
    name,
    { ...position, lastError: health[name]?.lastError ?? null },
  ])
  return { config, sinks: Object.fromEntries(sinks) }
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
