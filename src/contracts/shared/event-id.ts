import type { DedupKey } from '../../core/event.ts'
import type { NormaliseContext } from '../../core/protocol.ts'

/** What makes a capture event itself. */
export type Identity = {
  token: string
  distinctId: string
  event: string
  /** What `toClientUuid` made of the client's. */
  uuid: string | undefined
  /** As the client sent them. */
  sent: { uuid?: unknown; timestamp?: unknown }
}

/**
 * 128 bits of SHA-1 over who did what, and over the client's uuid or else its raw timestamp;
 * undefined where it sent neither, for such an event is never a duplicate. Source: spec README,
 * "Dedup".
 */
export function toDedupKey(
  { token, distinctId, event, uuid, sent }: Identity,
  dedupIdentity: NormaliseContext['dedupIdentity'],
): DedupKey | undefined {
  const instance = dedupIdentity === 'uuid' ? toInstance(uuid, sent) : toTimeText(sent.timestamp)
  if (instance === '') return undefined
  // Lengths rather than separators: no name can be written so that two events look like one.
  return hash(`${token}\n${distinctId.length}\n${event.length}\n${distinctId}${event}${instance}`)
}

/** The marker of what is stored as one piece; `part` numbers the pieces of the same events. */
export function toMergedDedupKey(
  sessionId: string,
  dedupKeys: readonly DedupKey[],
  part: number,
): DedupKey {
  return hash(`${sessionId}\n${part}\n${dedupKeys.join('')}`)
}

/** For an event without a uuid of its own: one that a retry gets again, or a new one. */
export function toUuid(dedupKey: DedupKey | undefined): string {
  return dedupKey === undefined ? Bun.randomUUIDv7() : toDerivedUuid(dedupKey)
}

/**
 * Lower-cased; undefined for what is no uuid, and for the nil uuid, which says that there is none.
 */
export function toClientUuid(uuid: unknown): string | undefined {
  if (typeof uuid !== 'string' || uuid.length !== 36) return undefined
  if (lowerUuid.test(uuid)) return uuid === nil ? undefined : uuid
  return anyUuid.test(uuid) ? toClientUuid(uuid.toLowerCase()) : undefined
}

const lowerUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const anyUuid = new RegExp(lowerUuid.source, 'i')
const nil = '00000000-0000-0000-0000-000000000000'

const hash = (text: string): DedupKey => Bun.SHA1.hash(text, 'hex').slice(0, 32)

/** A uuid, or a time and whatever stands where the uuid should; empty where there is neither. */
function toInstance(uuid: string | undefined, sent: Identity['sent']): string {
  if (uuid !== undefined) return `u${uuid}`
  const time = toTimeText(sent.timestamp)
  if (time === '' || typeof sent.uuid !== 'string') return time
  // An id that is no UUID may be a constant, so it tells events apart but never makes two the same.
  return time + sent.uuid
}

/** Empty where the client sent no timestamp. Large numbers come as text of their own. */
function toTimeText(timestamp: unknown): string {
  const { rawJSON } = (timestamp ?? {}) as { rawJSON?: unknown }
  const time = typeof timestamp === 'number' ? String(timestamp) : (rawJSON ?? timestamp)
  return typeof time === 'string' && time !== '' ? `t${time.length}\n${time}` : ''
}

/** Version 5, which is what a truncated SHA-1 is, and the variant of RFC 9562. */
export function toDerivedUuid(dedupKey: DedupKey): string {
  const variant = '89ab'[Number.parseInt(dedupKey[16]!, 16) & 3]!
  const end = `${variant}${dedupKey.slice(17, 20)}-${dedupKey.slice(20)}`
  return `${dedupKey.slice(0, 8)}-${dedupKey.slice(8, 12)}-5${dedupKey.slice(13, 16)}-${end}`
}
