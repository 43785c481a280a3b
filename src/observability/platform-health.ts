import type { Reply } from '../core/protocol.ts'

export type Service = 'telemetry' | 'auth' | 'websocket' | 'database'

export type PlatformHealth = () => Promise<Reply>

/** Polls within this time share one round of probes. */
const freshMs = 1000

/**
 * The BMT platform's `/api/health`. `unhealthy` (503) means that telemetry is refused; any other service that is down
 * makes it `degraded`: events are kept for a database that is away.
 */
export function createPlatformHealth({
  probes,
  now,
}: {
  probes: Record<Service, () => boolean | Promise<boolean>>
  now: () => number
}): PlatformHealth {
  let last: { atMs: number; reply: Promise<Reply> } | undefined
  return () => {
    if (last === undefined || now() - last.atMs > freshMs)
      last = { atMs: now(), reply: probe(probes, now()) }
    return last.reply
  }
}

type Probes = Parameters<typeof createPlatformHealth>[0]['probes']

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

/** A probe that fails is an answer, too. */
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
