import type { CanonicalEvent, DedupKey, RecordingRow } from '../../core/event.ts'
import type { IngestRequest, NormaliseContext, Normalised } from '../../core/protocol.ts'
import { toRecordingHead } from '../encode.ts'
import { toClientUuid, toDedupKey, toMergedDedupKey, toUuid } from '../shared/event-id.ts'
import { type CaptureEvents, type Intake, sift, toIntake } from './batch.ts'
import { toIp, toShortText, toStoredId, toTimestamp } from './raw-event.ts'
import { toPieces } from './recording-chunks.ts'
import { type Snapshot, toSnapshot } from './recording-snapshot.ts'

/**
 * Snapshots of the capture contract → rows of `recordings`: those of one session become one row, or
 * as many as keep each line within `context.lineBytesMax`. Never throws. Source: spec README,
 * "Recordings".
 */
export function normaliseRecording(
  request: IngestRequest,
  submission: CaptureEvents,
  context: NormaliseContext,
): Normalised {
  const intake = toIntake(request, submission, context)
  const { accepted, rejections, dropped } = sift(submission.events, toSnapshot)
  const sessions = Map.groupBy(accepted, ({ sessionId }) => sessionId)
  const events = [...sessions.values()].flatMap((snapshots) => toRows(snapshots, intake))
  return { events, rejections, dropped }
}

/** Who and when is the first snapshot's to say. */
function toRows(snapshots: readonly Snapshot[], intake: Intake): CanonicalEvent[] {
  const head = toHead(snapshots[0]!, intake)
  const items = snapshots.flatMap((snapshot) => snapshot.items)
  const pieces = toPieces(items, intake.lineBytesMax - toHeadBytes(head))
  const dedupKeys = toDedupKeys(snapshots, intake)
  // Of several snapshots none may lend the row its uuid: it may come again, beside others.
  const own = snapshots.length === 1 ? toClientUuid(snapshots[0]!.root.uuid) : undefined
  return pieces.map(({ items, chunk, chunks }, part) => {
    const dedupKey = dedupKeys && toMergedDedupKey(head.session_id, dedupKeys, part)
    const uuid = (part === 0 ? own : undefined) ?? toUuid(dedupKey)
    const row: RecordingRow = { ...head, uuid, chunk, chunks, snapshot_items: items }
    const key = head.session_id
    return { kind: 'recording', row, route: 'main', category: 'recordings', key, dedupKey }
  })
}

type Head = Omit<RecordingRow, 'snapshot_items'>

function toHead(snapshot: Snapshot, intake: Intake): Head {
  const { properties, sessionId } = snapshot
  return {
    // As long as every uuid is.
    uuid: '00000000-0000-0000-0000-000000000000',
    project: intake.project,
    session_id: sessionId,
    distinct_id: toStoredId(snapshot.distinctId),
    window_id: toShortText(properties.$window_id) || sessionId,
    snapshot_source: toShortText(properties.$snapshot_source) || 'web',
    timestamp: toTimestamp(snapshot, intake),
    received_at: intake.receivedMs,
    ip: toIp(snapshot, intake),
    user_agent: intake.userAgent,
    library: toShortText(properties.$lib) || toLibrary(intake.userAgent),
    chunk: chunksMax,
    chunks: chunksMax,
  }
}

/** More than any body can be cut into; it stands for the longest number. */
const chunksMax = 9_999_999
/**
 * A retry from another address has another head: rounded up, it is still cut into the same pieces.
 */
const headStepBytes = 256

function toHeadBytes(head: Head): number {
  return Math.ceil((Buffer.byteLength(toRecordingHead(head)) + 1) / headStepBytes) * headStepBytes
}

/** Undefined where one of the snapshots has no identity: then the whole has none. */
function toDedupKeys(snapshots: readonly Snapshot[], intake: Intake): DedupKey[] | undefined {
  const dedupKeys: DedupKey[] = []
  for (const { root, distinctId } of snapshots) {
    const event = typeof root.event === 'string' ? root.event : '$snapshot'
    const uuid = toClientUuid(root.uuid)
    const identity = { token: intake.token, distinctId, event, uuid, sent: root }
    const dedupKey = toDedupKey(identity, intake.dedupIdentity)
    if (dedupKey === undefined) return undefined
    dedupKeys.push(dedupKey)
  }
  return dedupKeys
}

/** Mobile clients say who they are in their user agent: `posthog-android/3.1`. */
function toLibrary(userAgent: string): string {
  const prefix = userAgent.split('/', 1)[0]!
  return prefix.includes('posthog') ? toShortText(prefix) : 'web'
}
