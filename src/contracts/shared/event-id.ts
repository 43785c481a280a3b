import type { DedupKey } from '../../core/event.ts'
import type { NormaliseContext } from '../../core/protocol.ts'

/** The identity of a capture event: the input of its dedup key. */
export type CaptureIdentity = {
  token: string
  distinctId: string
  event: string
  /** The client's uuid, after `toClientUuid`. */
  uuid: string | undefined
  /** The event's fields as the client sent them. */
  sent: { uuid?: unknown; timestamp?: unknown }
}

/** The dedup key and the uuid of an event that its contract identifies by an id. */
export type IdentifiedEvent = { dedupKey: DedupKey; uuid: string }

/**
 * The dedup key of a capture event: 128 bits of SHA-1 over token, distinct_id, event name, and the
 * client's uuid, else its timestamp as sent. Undefined if the client sent neither: such an event is
 * never a duplicate. See docs/contracts/capture.md.
 */
export function toDedupKey(
  { token, distinctId, event, uuid, sent }: CaptureIdentity,
  dedupIdentity: NormaliseContext['dedupIdentity'],
): DedupKey | undefined {
  const instance = dedupIdentity === 'uuid' ? toInstance(uuid, sent) : toTimeText(sent.timestamp)
  if (instance === '') return undefined
  // The lengths keep the parts apart: no name can be chosen so that two identities hash the same
  // text.
  return hash(`${token}\n${distinctId.length}\n${event.length}\n${distinctId}${event}${instance}`)
}

/**
 * The dedup key of one row that holds several events. `part` numbers the rows of the same events.
 */
export function toMergedDedupKey(
  sessionId: string,
  dedupKeys: readonly DedupKey[],
  part: number,
): DedupKey {
  return hash(`${sessionId}\n${part}\n${dedupKeys.join('')}`)
}

/**
 * The dedup key and the uuid (version 5, RFC 9562) of a list of parts, such as contract, project
 * and id. Both come from one hash. JSON keeps the parts apart: two different lists never hash the
 * same text.
 */
export function identify(parts: readonly (string | number)[]): IdentifiedEvent {
  const dedupKey = hash(namespace + JSON.stringify(parts))
  return { dedupKey, uuid: toDerivedUuid(dedupKey) }
}

/**
 * The uuid of an event without a uuid of its own. A retry gets the same one if there is a dedup
 * key.
 */
export function toUuid(dedupKey: DedupKey | undefined): string {
  return dedupKey === undefined ? Bun.randomUUIDv7() : toDerivedUuid(dedupKey)
}

/**
 * The client's uuid in lower case. Undefined if it is not a uuid, or is the nil uuid, which means
 * "none".
 */
export function toClientUuid(uuid: unknown): string | undefined {
  if (typeof uuid !== 'string' || uuid.length !== 36) return undefined
  if (lowerUuid.test(uuid)) return uuid === nil ? undefined : uuid
  return anyUuid.test(uuid) ? toClientUuid(uuid.toLowerCase()) : undefined
}

const lowerUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const anyUuid = new RegExp(lowerUuid.source, 'i')
const nil = '00000000-0000-0000-0000-000000000000'

/**
 * The namespace uuid 7370696c-6c77-6179-2d65-76656e747321. Its 16 bytes are ASCII, so a string
 * hashes the same.
 */
const namespace = 'spillway-events!'

const hash = (text: string): DedupKey => Bun.SHA1.hash(text, 'hex').slice(0, 32)

/**
 * Tells events of one name and person apart: the uuid, else the timestamp. Empty if there is
 * neither.
 */
function toInstance(uuid: string | undefined, sent: CaptureIdentity['sent']): string {
  if (uuid !== undefined) return `u${uuid}`
  const time = toTimeText(sent.timestamp)
  if (time === '' || typeof sent.uuid !== 'string') return time
  // An id that is not a uuid may be a constant. It tells events apart but never makes two events
  // equal.
  return time + sent.uuid
}

/**
 * Empty if the client sent no timestamp. A large number is a `JSON.rawJSON` object with its text.
 */
function toTimeText(timestamp: unknown): string {
  const { rawJSON } = (timestamp ?? {}) as { rawJSON?: unknown }
  const time = typeof timestamp === 'number' ? String(timestamp) : (rawJSON ?? timestamp)
  return typeof time === 'string' && time !== '' ? `t${time.length}\n${time}` : ''
}

/** Version 5, as defined for a truncated SHA-1, and the variant of RFC 9562. */
function toDerivedUuid(dedupKey: DedupKey): string {
  const variant = '89ab'[Number.parseInt(dedupKey[16]!, 16) & 3]!
  const end = `${variant}${dedupKey.slice(17, 20)}-${dedupKey.slice(20)}`
  return `${dedupKey.slice(0, 8)}-${dedupKey.slice(8, 12)}-5${dedupKey.slice(13, 16)}-${end}`
}
