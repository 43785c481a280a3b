import type { Reply } from '../core/protocol.ts'

/** A commit that takes longer than this will not end: a restart is the cure. */
const commitStuckMsMax = 30_000

export type Phase = 'starting' | 'ready' | 'draining'

export type HealthParts = {
  phase(): Phase
  durability: 'disk' | 'memory'
  journal(): JournalHealth
  /** Each sink's own word; a sink that is down costs delay, not readiness. */
  sinks(): Record<string, { state: 'healthy' | 'unhealthy'; lagEvents: number }>
  redis(): 'off' | 'healthy' | 'unhealthy'
}

type JournalHealth = {
  isFull: boolean
  /** Its disk takes no commit. */
  isFailing: boolean
  stuckMs: number
  bytes: number
  bytesMax: number
}

export type Health = { readiness(): Reply; liveness(): Reply }

/**
 * 503 while starting, draining, or when the journal takes nothing: a load balancer then sends
 * elsewhere.
 */
export function createHealth(parts: HealthParts): Health {
  function readiness(): Reply {
    const journal = parts.journal()
    const phase = parts.phase()
    const { durability } = parts
    // Where events are acknowledged from memory, a failing disk refuses none.
    const isRefusing = journal.isFull || (journal.isFailing && durability === 'disk')
    const isReady = phase === 'ready' && !isRefusing
    const sinks = parts.sinks()
    const redis = parts.redis()
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
    const isAlive = parts.journal().stuckMs < commitStuckMsMax
    return toReply(isAlive, { status: isAlive ? 'ok' : 'stuck' })
  }
  return { readiness, liveness }
}

const toReply = (isFine: boolean, document: object): Reply => ({
  status: isFine ? 200 : 503,
  body: JSON.stringify(document),
  ...(isFine ? {} : { headers: { 'retry-after': '1' } }),
})
