import type { Clock } from '../../core/clock.ts'
import type { End } from './ending.ts'
import type { Engine } from './engine.ts'
import type { Identity } from './identity.ts'
import type { RealtimeLimits } from './limits.ts'
import { type Member, toEnd } from './member.ts'

export type Members<I extends Identity> = {
  add(member: Member<I>): void
  remove(socketId: string): void
  readonly size: number
  subscriptions(): number
  /** Ends every socket that has outlived its token, its heartbeat, its rights or our patience. */
  sweep(): void
  /** When that was last done. */
  sweptMs(): number
}

/** Looking an identity up costs a microsecond or two: every fifth sweep is soon enough. */
const currencySweeps = 5

/** The sockets of this node that were let in, and the watch over them. */
export function createMembers<I extends Identity>({
  engine,
  limits,
  isCurrent,
  end,
  now,
}: {
  engine: Engine
  limits: RealtimeLimits
  isCurrent: (identity: I) => boolean
  end: (member: Member<I>, why: End) => void
  now: Clock
}): Members<I> {
  const members = new Map<string, Member<I>>()
  let sweeps = 0
  let sweptMs = now()

  function sweep(): void {
    const nowMs = now()
    sweptMs = nowMs
    sweeps += 1
    const isCurrencySweep = sweeps % currencySweeps === 0
    for (const member of members.values()) {
      const why = toEnd(member, { nowMs, limits })
      if (why) end(member, why)
      else if (isCurrencySweep && !isCurrent(member.identity)) end(member, 'token_revoked')
    }
    endSlowest()
  }

  /** Each socket is within its own bound; together they may still hold too much. The greediest go first. */
  function endSlowest(): void {
    const waiting: { member: Member<I>; bytes: number }[] = []
    let total = 0
    for (const member of members.values()) {
      const bytes = engine.bufferedBytes(member.connection)
      if (bytes > 0) waiting.push({ member, bytes })
      total += bytes
    }
    waiting.sort((a, b) => b.bytes - a.bytes)
    for (const { member, bytes } of waiting) {
      if (bytes <= limits.bufferedBytesMax && total <= limits.bufferedBytesTotalMax) return
      total -= bytes
      end(member, 'slow')
    }
  }

  return {
    add: (member) => void members.set(member.socket.id, member),
    remove: (socketId) => void members.delete(socketId),
    get size() {
      return members.size
    },
    subscriptions() {
      let count = 0
      for (const { topics } of members.values()) count += topics.size
      return count
    },
    sweep,
    sweptMs: () => sweptMs,
  }
}
