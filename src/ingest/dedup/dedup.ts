import { IngestError } from '../../core/errors.ts'
import type { DedupKey } from '../../core/event.ts'
import { type Claim, type ClaimOptions, PendingClaims, RequestClaim } from './claim.ts'
import type { MarkerFiles } from './marker-log.ts'
import type { RedisDedupKeys } from './redis-markers.ts'
import { type DedupKeyWords, type DedupTable, readDedupKey } from './seen-table.ts'

const sweepMs = 1000

/**
 * Detects duplicates over 24 hours. A request claims its events. It then either commits, which
 * marks them as seen, or releases them, so that a retry of a refused request is accepted.
 */
export function createDedup(dedupOptions: DedupOptions): Dedup {
  const options = { waitMsMax: 10_000, pending: new PendingClaims(), ...dedupOptions }
  const { table, files } = options
  const sweeping = setInterval(() => table.sweep(), sweepMs)
  sweeping.unref()
  return {
    claim: (dedupKeys, payloadKey) => claim(options, dedupKeys, payloadKey),
    mark: (dedupKeys) => mark(options, dedupKeys),
    sync: () => files?.sync() ?? Promise.resolve(),
    pending: () => options.pending.size,
    async close() {
      clearInterval(sweeping)
      await files?.close()
    },
  }
}

export type Dedup = {
  /**
   * Claims all events of a request at once. An event without a key (undefined) is always new.
   * Rejects with `too_busy` if another request holds one of the events for longer than `waitMsMax`.
   * With a `payloadKey`: throws or rejects with `idempotency_key_reused` if one of the events was
   * seen, but under another payload key.
   */
  claim(
    dedupKeys: readonly (DedupKey | undefined)[],
    payloadKey?: DedupKey | undefined,
  ): Claim | Promise<Claim>
  /** Marks the events of the journal as seen after a restart. */
  mark(dedupKeys: readonly (DedupKey | undefined)[]): void | Promise<void>
  /**
   * Resolves once all marked keys survive a crash: a journal segment may be deleted only after
   * that.
   */
  sync(): Promise<void>
  /** The number of keys that are claimed now. */
  pending(): number
  close(): Promise<void>
}

export type DedupOptions = {
  table: DedupTable
  files?: MarkerFiles | undefined
  shared?: RedisDedupKeys | undefined
  /**
   * How long a request waits for others that hold its events. A limit is needed: commits may fail
   * one after another.
   */
  waitMsMax?: number
}

type ResolvedOptions = ClaimOptions & { waitMsMax: number }

function claim(
  options: ResolvedOptions,
  dedupKeys: readonly (DedupKey | undefined)[],
  payloadKey: DedupKey | undefined,
): Claim | Promise<Claim> {
  if (payloadKey === undefined) return claimAll(options, dedupKeys)
  // The payload key is claimed, marked and shared like the key of one more event.
  const claimed = claimAll(options, [...dedupKeys, payloadKey])
  const check = (claim: Claim) => assertSamePayload(claim, dedupKeys.length)
  return claimed instanceof Promise ? claimed.then(check) : check(claimed)
}

function assertSamePayload(claim: Claim, payloadIndex: number): Claim {
  if (claim.duplicates === 0 || !claim.isNew(payloadIndex)) return claim
  claim.release()
  const message = 'the Idempotency-Key was used with another payload; send a new key'
  throw new IngestError('idempotency_key_reused', message, { field: 'Idempotency-Key' })
}

function claimAll(
  options: ResolvedOptions,
  dedupKeys: readonly (DedupKey | undefined)[],
): Claim | Promise<Claim> {
  const claimed = new RequestClaim(options, dedupKeys)
  if (!claimed.isWaiting && !options.shared?.isAvailable()) return claimed
  return complete(options, claimed)
}

/**
 * Waits for other requests that hold the same events, and asks Redis for events that other nodes
 * have seen.
 */
async function complete(
  { shared, waitMsMax }: ResolvedOptions,
  claimed: RequestClaim,
): Promise<Claim> {
  try {
    if (claimed.isWaiting) await claimed.wait(waitMsMax)
    const indexes = claimed.held()
    if (shared === undefined || indexes.length === 0) return claimed
    const seen = await shared.find(indexes.map((index) => claimed.dedupKeys[index]!))
    indexes.forEach((index, at) => {
      if (seen[at]) claimed.dropSeen(index)
    })
    return claimed
  } catch (error) {
    claimed.release()
    throw error
  }
}

function mark(
  { table, files, shared }: ResolvedOptions,
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
