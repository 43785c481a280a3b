import type { DedupKey } from '../../core/event.ts'
import { type Claim, type ClaimParts, Pending, RequestClaim } from './claim.ts'
import type { MarkerFiles } from './marker-log.ts'
import type { RedisDedupKeys } from './redis-markers.ts'
import { type DedupKeyWords, type DedupTable, readDedupKey } from './seen-table.ts'

/** A fifth of a millisecond at a time, so that no request is held up: 256 MiB take some 2 s. */
const pagesPerReservation = 64
const reservationMs = 2

/**
 * Tells copies from new events over 24 hours. A request claims its events, and then either commits, which marks them as
 * seen, or releases them, which leaves them as if they had never come: what was refused is accepted when it is retried.
 */
export function createDedup(options: DedupOptions): Dedup {
  const parts = { waitMsMax: 10_000, pending: new Pending(), ...options }
  const sweeping = setInterval(() => options.table.sweep(), 1000)
  const reserving = setInterval(() => {
    if (!options.table.reserve(pagesPerReservation)) clearInterval(reserving)
  }, reservationMs)
  for (const timer of [sweeping, reserving]) timer.unref()
  return {
    claim: (dedupKeys) => claim(parts, dedupKeys),
    mark: (dedupKeys) => mark(parts, dedupKeys),
    sync: () => options.files?.sync() ?? Promise.resolve(),
    pending: () => parts.pending.size,
    async close() {
      clearInterval(sweeping)
      clearInterval(reserving)
      await options.files?.close()
    },
  }
}

export type Dedup = {
  /** All events of a request at once; undefined has no identity and is always new. Throws `too_busy` if a wait is too long. */
  claim(dedupKeys: readonly (DedupKey | undefined)[]): Claim | Promise<Claim>
  /** Marks what a restart finds in the journal. */
  mark(dedupKeys: readonly (DedupKey | undefined)[]): void | Promise<void>
  /** Resolves once all that is marked survives a crash: only then may a journal segment go. */
  sync(): Promise<void>
  /** How many markers are claimed at this moment. */
  pending(): number
  close(): Promise<void>
}

export type DedupOptions = {
  table: DedupTable
  files?: MarkerFiles | undefined
  shared?: RedisDedupKeys | undefined
  /** How long a request waits for others that hold its events. A chain of failing commits could be longer. */
  waitMsMax?: number
}

type Parts = ClaimParts & { waitMsMax: number }

function claim(parts: Parts, dedupKeys: readonly (DedupKey | undefined)[]): Claim | Promise<Claim> {
  const claimed = new RequestClaim(parts, dedupKeys)
  if (!claimed.isWaiting && !parts.shared?.isAvailable()) return claimed
  return complete(parts, claimed)
}

/** What memory cannot tell: how the requests end that hold the same events, and what other nodes have seen. */
async function complete({ shared, waitMsMax }: Parts, claimed: RequestClaim): Promise<Claim> {
  try {
    if (claimed.isWaiting) await claimed.wait(waitMsMax)
    const asked = claimed.held()
    if (shared === undefined || asked.length === 0) return claimed
    const seen = await shared.find(asked.map((index) => claimed.dedupKeys[index]!))
    asked.forEach((index, at) => {
      if (seen[at]) claimed.dropSeen(index)
    })
    return claimed
  } catch (error) {
    claimed.release()
    throw error
  }
}

function mark(
  { table, files, shared }: Parts,
  dedupKeys: readonly (DedupKey | undefined)[],
): void | Promise<void> {
  const known = dedupKeys.filter((dedupKey) => dedupKey !== undefined)
  table.keepTime()
  for (const dedupKey of known) {
    readDedupKey(dedupKey, words)
    if (table.has(words)) continue
    table.add(words)
    files?.append(words, table.hour)
  }
  if (shared?.isAvailable() && known.length > 0) return shared.mark(known)
}

const words: DedupKeyWords = { a: 0, b: 0, c: 0 }
