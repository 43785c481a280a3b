import { copyText } from '../core/copy-text.ts'
import type { ProtocolName } from '../core/protocol.ts'

/**
 * Samples of the events that pass, for those who watch. Each watcher has a filter and a bounded
 * list, which it empties a few times a second. A watcher that does not come back is forgotten, and
 * without a watcher nothing is done.
 */
export type LiveTaps = {
  isWatched(nowMs: number): boolean
  /**
   * Whether a watcher may take one more event. Under load all lists are full most of the time, and
   * then nothing needs to be built.
   */
  isHungry(): boolean
  /** Events that were not offered, because no watcher is hungry. */
  skip(events: number): void
  /** Adds the event to the list of each watcher whose filter it passes. */
  offer(event: LiveEvent): void
  /** The events since the last call. The first call of a watcher registers it. */
  take(watcher: string, filter: LiveFilter, nowMs: number): LiveBatch
}

export type LiveEvent = {
  at_ms: number
  outcome: Outcome
  contract: ProtocolName
  project: string
  event: string
  distinct_id: string
  uuid: string | null
  request_id: string
  client_ip: string
  path: string
  reason: string | null
  message: string | null
  /** Above 1 for a request that was refused as a whole. */
  events: number
}

export const outcomes = ['stored', 'duplicate', 'quota_dropped', 'rejected', 'refused'] as const
type Outcome = (typeof outcomes)[number]

/** Exact texts; `event` and `distinct_id` may end in `*`. */
export type LiveFilter = Partial<
  Record<'project' | 'contract' | 'event' | 'distinct_id' | 'outcome', string>
>

export type LiveBatch = { events: LiveEvent[]; skipped: number }

/** Of one watcher between two of its calls. */
const eventsPerTakeMax = 100
/** A watcher calls four times a second. */
const leaseMs = 5000
export const watchersMax = 16

type Watcher = LiveBatch & {
  isFiltered: boolean
  isWanted(event: LiveEvent): boolean
  untilMs: number
}

export function createLiveTaps(): LiveTaps {
  const watchers = new Map<string, Watcher>()

  function forget(nowMs: number): void {
    for (const [id, { untilMs }] of watchers) if (untilMs < nowMs) watchers.delete(id)
  }

  return {
    isWatched(nowMs) {
      if (watchers.size === 0) return false
      forget(nowMs)
      return watchers.size > 0
    },
    isHungry() {
      for (const { isFiltered, events } of watchers.values())
        if (isFiltered || events.length < eventsPerTakeMax) return true
      return false
    },
    skip(events) {
      for (const watcher of watchers.values()) watcher.skipped += events
    },
    offer(event) {
      for (const watcher of watchers.values()) {
        if (!watcher.isWanted(event)) continue
        if (watcher.events.length < eventsPerTakeMax) watcher.events.push(toOwn(event))
        else watcher.skipped += 1
      }
    },
    take(id, filter, nowMs) {
      forget(nowMs)
      const { events = [], skipped = 0 } = watchers.get(id) ?? {}
      if (watchers.size < watchersMax || watchers.has(id)) {
        const untilMs = nowMs + leaseMs
        const isFiltered = Object.keys(filter).length > 0
        const own = { isFiltered, untilMs, isWanted: createIsWanted(filter) }
        watchers.set(id, { events: [], skipped: 0, ...own })
      }
      return { events, skipped }
    },
  }
}

const textCharsMax = 200

const toOwn = (event: LiveEvent): LiveEvent => ({
  ...event,
  project: copyText(event.project, textCharsMax),
  event: copyText(event.event, textCharsMax),
  distinct_id: copyText(event.distinct_id, textCharsMax),
  path: copyText(event.path, textCharsMax),
})

function createIsWanted(filter: LiveFilter): (event: LiveEvent) => boolean {
  const tests = Object.entries(filter).map(([name, text]) => {
    const field = name as keyof LiveFilter
    if (text.endsWith('*')) {
      const start = text.slice(0, -1)
      return (event: LiveEvent) => event[field].startsWith(start)
    }
    return (event: LiveEvent) => event[field] === text
  })
  return (event) => tests.every((isWanted) => isWanted(event))
}
