import { shareFor } from '../core/async.ts'
import type { Reply } from '../core/protocol.ts'

/** A commit that takes longer than this never ends. Only a restart helps. */
const commitStuckMsMax = 30_000

type Phase = 'starting' | 'ready' | 'draining'

export type HealthOptions = {
  phase(): Phase
  durability: 'disk' | 'memory'
  journal(): JournalHealth
  /** Whether the delivery cannot start, because the disk is full. */
  isDeliveryWithoutDisk(): boolean
  /** A sink that is down delays delivery, but the server stays ready. */
  sinks(): Record<string, { state: 'healthy' | 'unhealthy'; lagEvents: number }>
  redis(): 'off' | 'healthy' | 'unhealthy'
}

type JournalHealth = {
  isFull: boolean
  /** The last commit failed. */
  isFailing: boolean
  /** The system's error code, such as ENOSPC, while no journal file can be created. */
  faultCode: string | undefined
  /** How long the current commit takes. */
  stuckMs: number
  bytes: number
  bytesMax: number
}

export type Health = {
  /** Only operators see more than whether the server accepts events. */
  readiness(isOperator: boolean): Reply
  liveness(): Reply
}

/** Readiness is 503 while starting or draining and when the journal accepts nothing, so that load balancers look elsewhere. */
export function createHealth(options: HealthOptions): Health {
  const toDetails = createDetails(options)

  function readiness(isOperator: boolean): Reply {
    const phase = options.phase()
    const reason = phase === 'ready' ? toReason(options) : phase
    const isReady = reason === undefined
    const body = isOperator ? toDetails(phase, reason) : { status: isReady ? 'ok' : 'unavailable' }
    return toReply(body, reason)
  }

  function liveness(): Reply {
    const isAlive = options.journal().stuckMs < commitStuckMsMax
    return toReply({ status: isAlive ? 'ok' : 'stuck' }, isAlive ? undefined : 'stuck')
  }
  return { readiness, liveness }
}

type Reason =
  | 'starting'
  | 'draining'
  | 'disk_full'
  | 'journal_full'
  | 'disk_failing'
  | 'out_of_descriptors'

function toReason(options: HealthOptions): Reason | undefined {
  if (options.isDeliveryWithoutDisk()) return 'disk_full'
  return toJournalReason(options.journal(), options.durability)
}

function toJournalReason(journal: JournalHealth, durability: string): Reason | undefined {
  // With DURABILITY=memory a failing disk refuses no events.
  const isRefusing = journal.isFull || (journal.isFailing && durability === 'disk')
  if (!isRefusing) return undefined
  const { faultCode = '' } = journal
  if (['ENOSPC', 'EDQUOT'].includes(faultCode)) return 'disk_full'
  if (['EMFILE', 'ENFILE'].includes(faultCode)) return 'out_of_descriptors'
  return journal.isFull ? 'journal_full' : 'disk_failing'
}

/** Requests within a second share one document, unless the state changes. */
function createDetails(options: HealthOptions) {
  let last: { key: string; atMs: number; document: object } | undefined
  return (phase: Phase, reason: Reason | undefined): object => {
    const atMs = performance.now()
    const key = `${phase} ${reason}`
    if (last?.key !== key || atMs - last.atMs > freshMs)
      last = { key, atMs, document: readDetails(options, phase, reason) }
    return last.document
  }
}

function readDetails(options: HealthOptions, phase: Phase, reason: Reason | undefined): object {
  const journal = options.journal()
  const sinks = options.sinks()
  const redis = options.redis()
  const isDegraded =
    redis === 'unhealthy' || Object.values(sinks).some(({ state }) => state !== 'healthy')
  return {
    status: reason === undefined ? (isDegraded ? 'degraded' : 'ok') : 'unavailable',
    ...(reason === undefined ? {} : { reason }),
    phase,
    durability: options.durability,
    journal: {
      bytes: journal.bytes,
      bytes_max: journal.bytesMax,
      full: journal.isFull,
      failing: journal.isFailing,
    },
    sinks,
    redis,
  }
}

function toReply(document: object, reason: string | undefined): Reply {
  const body = JSON.stringify(document)
  if (reason === undefined) return { status: 200, body }
  return { status: 503, body, headers: { 'retry-after': '1' }, reason }
}

export type PlatformHealth = () => Promise<Reply>

/** Requests within this time share one round of probes. */
const freshMs = 1000

/**
 * `/api/health` of the BMT platform. It is `unhealthy` (503) if telemetry is refused. If another service is down it is
 * `degraded`: the journal keeps events while the database is down.
 */
export function createPlatformHealth({ probes, now }: PlatformHealthOptions): PlatformHealth {
  return shareFor(freshMs, () => probe(probes, now()))
}

type Service = 'telemetry' | 'auth' | 'websocket' | 'database'
type Probes = Record<Service, () => boolean | Promise<boolean>>

type PlatformHealthOptions = { probes: Probes; now: () => number }

async function probe(probes: Probes, timestamp: number): Promise<Reply> {
  const names = Object.keys(probes) as Service[]
  const answers = await Promise.all(names.map((name) => isUp(probes[name])))
  const services = Object.fromEntries(
    names.map((name, index) => [name, answers[index] ? 'healthy' : 'unhealthy']),
  )
  const status = toStatus(services)
  return {
    status: status === 'unhealthy' ? 503 : 200,
    body: JSON.stringify({ status, services, timestamp }),
    headers: { 'cache-control': 'no-store' },
    ...(status === 'unhealthy' ? { reason: 'telemetry_unhealthy' } : {}),
  }
}

/** A probe that rejects counts as unhealthy. */
async function isUp(check: () => boolean | Promise<boolean>): Promise<boolean> {
  try {
    return await check()
  } catch {
    return false
  }
}

function toStatus(services: Record<string, string>): 'healthy' | 'degraded' | 'unhealthy' {
  if (services.telemetry === 'unhealthy') return 'unhealthy'
  return Object.values(services).includes('unhealthy') ? 'degraded' : 'healthy'
}
