import type { DedupKey, JsonText } from '../../core/event.ts'
import type { NormaliseContext } from '../../core/protocol.ts'
import { SeededMap } from '../../core/seeded-map.ts'

/** The identity of a capture event: the input of its dedup key, as the sorting key holds it. */
export type CaptureIdentity = {
  /** Contract and project, by `toCaptureScope`. */
  scope: string
  /** As stored: cut, and without lone surrogates. */
  distinctId: string
  /** As stored: without lone surrogates. */
  event: string
  /** The client's uuid, after `toClientUuid`. */
  uuid: string | undefined
  /** The event's fields as the client sent them. */
  sent: { uuid?: unknown; timestamp?: unknown }
}

/** The dedup key and the uuid of an event that its contract identifies by an id. */
type IdentifiedEvent = { dedupKey: DedupKey; uuid: string }

/**
 * Contract and project, as all identities of a request begin. By the project and not by its token:
 * a retry by another token of the project is a duplicate. The first line keeps the kinds of keys
 * apart, and the lengths the parts: no name can be chosen so that two identities hash the same text.
 */
export const toCaptureScope = (project: string): string => `capture\n${project.length}\n${project}`

/**
 * The dedup key of a capture event: 128 bits of SHA-1 over contract, project, distinct_id, event
 * name, and the client's uuid, else its timestamp as sent. Undefined if the client sent neither:
 * such an event is never a duplicate. See docs/contracts/capture.md.
 */
export function toDedupKey(
  { scope, distinctId, event, uuid, sent }: CaptureIdentity,
  dedupIdentity: NormaliseContext['dedupIdentity'],
): DedupKey | undefined {
  const instance = dedupIdentity === 'uuid' ? toInstance(uuid, sent) : toTimeText(sent.timestamp)
  if (instance === '') return undefined
  return hash(`${scope}\n${distinctId.length}\n${event.length}\n${distinctId}${event}${instance}`)
}

/**
 * Numbers the events of one request that have the same dedup key and other contents: the nth gets a
 * key of its own, and a retry of the request gets the same keys. Equal contents stay duplicates.
 */
export function createEventNumbering(): EventNumbering {
  const firsts = new SeededMap<Content>(hashedDigits)
  const repeats = new SeededMap<SeededMap<number>>(hashedDigits)
  return (dedupKey, content) => {
    const first = firsts.add(dedupKey, content)
    if (first === undefined) return dedupKey
    let numbers = repeats.get(dedupKey)
    if (numbers === undefined) {
      numbers = new SeededMap(hashedDigits)
      numbers.set(digest(first), 0)
      repeats.set(dedupKey, numbers)
    }
    const count = numbers.size
    const number = numbers.add(digest(content), count) ?? count
    return number === 0 ? dedupKey : hash(`nth\n${dedupKey}\n${number}`)
  }
}

export type EventNumbering = (dedupKey: DedupKey, content: Content) => DedupKey

/** The fields of an event beside its identity, as stored. */
type Content = { properties: JsonText; user: JsonText }

/** No client finds many hashes with the same 48 bits. */
const hashedDigits = 12

const digest = ({ properties, user }: Content): string =>
  Bun.SHA1.hash(`${properties.length}\n${properties}${user}`, 'hex')

/**
 * The dedup key of one row that holds several snapshots of a session. `dedupKeys` are those of the
 * snapshots, which contain the project. `part` numbers the rows of the same snapshots.
 */
export function toMergedDedupKey(
  sessionId: string,
  dedupKeys: readonly DedupKey[],
  part: number,
): DedupKey {
  return hash(`recording\n${sessionId}\n${part}\n${dedupKeys.join('')}`)
}

/**
 * The dedup key and the uuid (version 5, RFC 9562) of a list of parts, such as contract, project
 * and id. Both come from one hash. JSON keeps the parts apart: two different lists never hash the
 * same text.
 */
export function identify(parts: readonly (string | number)[]): IdentifiedEvent {
  const dedupKey = hash(namespace + JSON.stringify(parts.map(toStored)))
  return { dedupKey, uuid: toDerivedUuid(dedupKey, '5') }
}

/** A lone surrogate is stored as U+FFFD, so ids that differ in it only are the same row. */
const toStored = (part: string | number) => (typeof part === 'string' ? part.toWellFormed() : part)

/**
 * The uuid of a capture event: the client's, else one of version 8 (RFC 9562) that is derived from
 * the dedup key, so that a retry gets the same one. A client's uuid of version 8 only counts in the
 * dedup key: otherwise a client could send the uuid that another event derives, and take its row.
 */
export function toUuid(clientUuid: string | undefined, dedupKey: DedupKey | undefined): string {
  if (clientUuid !== undefined && isStorableUuid(clientUuid)) return clientUuid
  return dedupKey === undefined ? Bun.randomUUIDv7() : toDerivedUuid(dedupKey, derivedVersion)
}

/** Whether a client's uuid, after `toClientUuid`, is stored as the uuid of its event. */
export const isStorableUuid = (clientUuid: string) => clientUuid[14] !== derivedVersion

const derivedVersion = '8'

/**
 * The client's uuid, in lower case and with hyphens. It may come without hyphens, in braces, or as
 * urn. Undefined if it is not a uuid, or is the nil uuid, which means "none".
 */
export function toClientUuid(uuid: unknown): string | undefined {
  if (typeof uuid !== 'string') return undefined
  if (uuid.length === 36 && lowerUuid.test(uuid)) return uuid === nil ? undefined : uuid
  if (uuid.length < 32 || uuid.length > 'urn:uuid:'.length + 36) return undefined
  const [, braced, plain] = anyUuid.exec(uuid) ?? []
  const bare = braced ?? plain
  return bare && toClientUuid(hyphenate(bare.replaceAll('-', '').toLowerCase()))
}

const lowerUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const anyHex = '[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const anyUuid = new RegExp(`^(?:\\{(${anyHex})\\}|(?:urn:uuid:)?(${anyHex}))$`, 'i')
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
  if (time === '' || typeof sent.uuid !== 'string' || sent.uuid === '') return time
  // An id that is not a uuid may be a constant. It tells events apart but never makes two events
  // equal.
  return time + toExact(sent.uuid)
}

/**
 * Empty if the client sent no timestamp. A large number is a `JSON.rawJSON` object with its text.
 */
function toTimeText(timestamp: unknown): string {
  const { rawJSON } = (timestamp ?? {}) as { rawJSON?: unknown }
  const time = typeof timestamp === 'number' ? String(timestamp) : (rawJSON ?? timestamp)
  return typeof time === 'string' && time !== '' ? `t${toExact(time)}` : ''
}

/** The hash would replace lone surrogates. Their escapes keep different texts apart. */
const toExact = (text: string): string =>
  `${text.length}\n${text.isWellFormed() ? text : JSON.stringify(text)}`

/** A version for hashes (5 or 8), and the variant of RFC 9562. */
function toDerivedUuid(dedupKey: DedupKey, version: string): string {
  const variant = '89ab'[Number.parseInt(dedupKey[16]!, 16) & 3]!
  const end = `${variant}${dedupKey.slice(17, 20)}-${dedupKey.slice(20)}`
  const start = `${dedupKey.slice(0, 8)}-${dedupKey.slice(8, 12)}`
  return `${start}-${version}${dedupKey.slice(13, 16)}-${end}`
}

function hyphenate(hex: string): string {
  const start = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}`
  return `${start}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
