import type { Fault } from '../../core/errors.ts'
import type { CanonicalEvent, DedupKey, JsonText, RecordingRow } from '../../core/event.ts'
import { sessionIdLengthMax } from '../../core/limits.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { SeededMap } from '../../core/seeded-map.ts'
import { toRecordingHeadBytes } from '../encode.ts'
import { toClientUuid, toDedupKey, toMergedDedupKey, toUuid } from '../shared/event-id.ts'
import { isJsonObject } from '../shared/json.ts'
import { toAltered, toWarningsJson } from '../shared/warnings.ts'
import { type CaptureBatch, partitionValid, toCaptureBatch } from './batch.ts'
import type { CaptureSubmission } from './protocol.ts'
import {
  type RawEvent,
  toIp,
  toRawEvent,
  toShortText,
  toStoredId,
  toTimestamp,
} from './raw-event.ts'
import { toRecordingChunks } from './recording-chunks.ts'
import { toRecordingWarnings } from './warnings.ts'

/**
 * Converts snapshots of the capture contract to rows of `recordings`. The snapshots of one session
 * become one row, or as few rows as keep each line within `context.lineBytesMax`. Never throws.
 */
export function normaliseRecording(
  request: IngestRequest,
  submission: CaptureSubmission,
  context: NormaliseContext,
): Normalised {
  const batch = toCaptureBatch(request, submission, context)
  const { events: valid, ...rest } = partitionValid(submission.events, toSnapshot)
  const sessions = new SeededMap<Snapshot[]>()
  for (const snapshot of valid) sessions.add(snapshot.sessionId, [snapshot])?.push(snapshot)
  const events = sessions.values().flatMap((snapshots) => toRows(snapshots, batch))
  return { events, ...rest, rejectedQuota: 'recordings' }
}

/** One event of a recording request, after validation. */
type Snapshot = RawEvent & {
  sessionId: string
  /** JSON text of each snapshot as sent: lone surrogates, NUL and large numbers included. */
  items: JsonText[]
}

/**
 * The faults of `toRawEvent`, and missing_session_id, invalid_session_id, missing_snapshot_data,
 * invalid_snapshot_data.
 */
function toSnapshot(raw: unknown): Snapshot | Fault {
  const parsed = toRawEvent(raw)
  if ('code' in parsed) return parsed
  const { root, properties, distinctId } = parsed
  const { $session_id: sessionId, $snapshot_data: data } = properties
  if (isAbsent(sessionId) || sessionId === '') return missingSession
  if (typeof sessionId !== 'string' || !sessionPattern.test(sessionId)) return invalidSession
  if (isAbsent(data)) return missingData
  if (!Array.isArray(data) && !isJsonObject(data)) return invalidData
  const items = Array.isArray(data) ? data.map(toJson) : [toJson(data)]
  return { root, properties, distinctId, sessionId, items }
}

const sessionPattern = new RegExp(`^[A-Za-z0-9-]{1,${sessionIdLengthMax}}$`)

const missingSession: Fault = {
  code: 'missing_session_id',
  message: 'a recording needs $session_id',
}
const invalidSession: Fault = {
  code: 'invalid_session_id',
  message: `$session_id is at most ${sessionIdLengthMax} letters, digits and hyphens`,
}
const missingData: Fault = {
  code: 'missing_snapshot_data',
  message: 'a recording needs $snapshot_data',
}
const invalidData: Fault = {
  code: 'invalid_snapshot_data',
  message: '$snapshot_data must be an array or an object',
}

const isAbsent = (value: unknown) => value === undefined || value === null
const toJson = (value: unknown): JsonText => JSON.stringify(value) ?? 'null'

/** Person, time and all other columns but the snapshots come from the first snapshot. */
function toRows(snapshots: readonly Snapshot[], batch: CaptureBatch): CanonicalEvent[] {
  const first = snapshots[0]!
  const plain = toHead(first, batch)
  const warnings = toRecordingWarnings(first, plain, { batch, isMerged: snapshots.length > 1 })
  const head = { ...plain, ingest_warnings: toWarningsJson(warnings) }
  const altered = toAltered(warnings)
  const items = snapshots.flatMap((snapshot) => snapshot.items)
  const chunks = toRecordingChunks(items, batch.lineBytesMax - toRoundedHeadBytes(head))
  const dedupKeys = toDedupKeys(snapshots, batch)
  // Do not reuse a client uuid for merged snapshots: a retry may group them differently.
  const own = snapshots.length === 1 ? toClientUuid(snapshots[0]!.root.uuid) : undefined
  return chunks.map((chunk, part) => {
    const dedupKey = dedupKeys && toMergedDedupKey(head.session_id, dedupKeys, part)
    const uuid = toUuid(part === 0 ? own : undefined, dedupKey)
    const row: RecordingRow = { ...head, uuid, ...chunk }
    const key = head.session_id
    const shared = { kind: 'recording', route: 'main', category: 'recordings' } as const
    return { ...shared, row, key, dedupKey, altered: part === 0 ? altered : undefined }
  })
}

type Head = Omit<RecordingRow, 'snapshot_items'>

function toHead(snapshot: Snapshot, batch: CaptureBatch): Head {
  const { properties, sessionId } = snapshot
  return {
    // A placeholder: every uuid has this length.
    uuid: '00000000-0000-0000-0000-000000000000',
    project: batch.project,
    session_id: sessionId,
    distinct_id: toStoredId(snapshot.distinctId),
    window_id: toShortText(properties.$window_id) || sessionId,
    snapshot_source: toShortText(properties.$snapshot_source) || 'web',
    timestamp: toTimestamp(snapshot, batch),
    received_at: batch.receivedMs,
    ip: toIp(snapshot, batch),
    user_agent: batch.userAgent,
    library: toShortText(properties.$lib) || toLibrary(batch.userAgent),
    chunk: chunksMax,
    chunks: chunksMax,
    ingest_warnings: '[]',
  }
}

/** More chunks than any body gives: the longest number that the head can contain. */
const chunksMax = 9_999_999
/**
 * A retry from another address has a head of another length. Rounded up, it is still cut into the
 * same chunks.
 */
const headStepBytes = 256

function toRoundedHeadBytes(head: Head): number {
  return Math.ceil(toRecordingHeadBytes(head) / headStepBytes) * headStepBytes
}

/** The name in the identity of every snapshot: the table of recordings does not store the sent one. */
const event = '$snapshot'

/** Undefined if one of the snapshots has no identity: then their row has none. */
function toDedupKeys(snapshots: readonly Snapshot[], batch: CaptureBatch): DedupKey[] | undefined {
  const dedupKeys: DedupKey[] = []
  for (const { root, ...snapshot } of snapshots) {
    const uuid = toClientUuid(root.uuid)
    const distinctId = toStoredId(snapshot.distinctId)
    const identity = { scope: batch.identityScope, distinctId, event, uuid, sent: root }
    const dedupKey = toDedupKey(identity, batch.dedupIdentity)
    if (dedupKey === undefined) return undefined
    dedupKeys.push(dedupKey)
  }
  return dedupKeys
}

/** Mobile clients name their library in `User-Agent`: `posthog-android/3.1`. */
function toLibrary(userAgent: string): string {
  const prefix = userAgent.split('/', 1)[0]!
  return prefix.includes('posthog') ? toShortText(prefix) : 'web'
}
