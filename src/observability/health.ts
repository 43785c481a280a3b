import type { Reply } from '../core/protocol.ts'

/** A commit that takes longer than this never ends. Only a restart helps. */
const commitStuckMsMax = 30_000

type Phase = 'starting' | 'ready' | 'draining'

export type HealthOptions = {
  phase(): Phase
  durability: 'disk' | 'memory'
  journal(): JournalHealth
  /** A sink that is down delays delivery, but the server stays ready. */
  sinks(): Record<string, { state: 'healthy' | 'unhealthy'; lagEvents: number }>
  redis(): 'off' | 'healthy' | 'unhealthy'
}

type JournalHealth = {
  isFull: boolean
  /** The last commit failed. */
  isFailing: boolean
  /** How long the current commit takes. */
  stuckMs: number
  bytes: number
  bytesMax: number
}

export type Health = { readiness(): Reply; liveness(): Reply }

/** Readiness is 503 while starting or draining and when the journal accepts nothing, so that load balancers look elsewhere. */
export function createHealth(options: HealthOptions): Health {
  function readiness(): Reply {
    const journal = options.journal()
    const phase = options.phase()
    const { durability } = options
    // With DURABILITY=memory a failing disk refuses no events.
    const isRefusing = journal.isFull || (journal.isFailing && durability === 'disk')
    const isReady = phase === 'ready' && !isRefusing
    const sinks = options.sinks()
    const redis = options.redis()
    const isDegraded =
      redis === 'unhealthy' || Object.values(sinks).some(({ state }) => state !== 'healthy')
    return toReply(isReady, {
      status: isReady ? (isDegraded ? 'degraded' : 'ok') : 'unavailable',
      phase,
      durability,
      journal: {
        bytes: journal.bytes,
        bytes_max: journal.bytesMax,
        full: journal.isFull,
        failing: journal.isFailing,
      },
      sinks,
      redis,
    })
  }

  function liveness(): Reply {
    const isAlive = options.journal().stuckMs < commitStuckMsMax
    return toReply(isAlive, { status: isAlive ? 'ok' : 'stuck' })
  }
  return { readiness, liveness }
}

const toReply = (isFine: boolean, document: object): Reply => ({
  status: isFine ? 200 : 503,
  body: JSON.stringify(document),
  ...(isFine ? {} : { headers: { 'retry-after': '1' } }),
})

export type PlatformHealth = () => Promise<Reply>

/** Requests within this time share one round of probes. */
const freshMs = 1000

/**
 * `/api/health` of the BMT platform. It is `unhealthy` (503) if telemetry is refused. If another service is down it is
 * `degraded`: the journal keeps events while the database is down.
 */
export function createPlatformHealth({ probes, now }: PlatformHealthOptions): PlatformHealth {
  let last: { atMs: number; reply: Promise<Reply> } | undefined
  return () => {
    if (last === undefined || now() - last.atMs > freshMs)
      last = { atMs: now(), reply: probe(probes, now()) }
    return last.reply
  }
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
