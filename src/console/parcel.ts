import type { Contract, ContractKey, ProtocolName, Submission } from '../core/protocol.ts'
import { parseJson } from './exchange.ts'

/** An event in the form that its contract takes, ready for the pipeline. */
export type Parcel = {
  contract: AnyContract
  /** The project's id. */
  project: string
  path: string
  headers: Record<string, string>
  body: Uint8Array
  /** When the event was received first. */
  receivedMs: number
  clientIp: string
}

// biome-ignore lint/suspicious/noExplicitAny: each contract has its own type of submission.
type AnyContract = Contract<any>

export type ParcelOptions = {
  contracts: Readonly<Record<ContractKey, AnyContract>>
  protocol: ProtocolName
  project: string
  /** JSON text of one event, as its contract takes it. */
  text: string
  /** Stands for the identity that the event lacks, so that it is stored once however often it is sent. */
  uuid: string
  receivedMs: number
  clientIp: string
}

/**
 * Wraps one event. The text is kept as it is, with its large numbers; fields that it lacks are
 * added at its end, where they win over a useless value of the same name.
 */
export function toParcel(options: ParcelOptions): Parcel {
  const { contracts, protocol, project, receivedMs, clientIp } = options
  const event = (parseJson(options.text) ?? {}) as Event
  const base = { project, receivedMs, clientIp, headers: {} }
  if (protocol === 'link') {
    const text = withFields(options.text, isText(event.event_id) ? {} : { event_id: options.uuid })
    return { ...base, contract: contracts.link, path: '/api/events/track', body: toBytes(text) }
  }
  if (protocol === 'telemetry') {
    const body = toBytes(`[${options.text}]`)
    return { ...base, contract: contracts.telemetry, path: '/api/telemetry/events', body }
  }
  if (protocol === 'report') return { ...base, ...toReport(options) }
  return { ...base, ...toCapture(options, event) }
}

type Event = Record<string, unknown>

const isText = (value: unknown) => typeof value === 'string' && value !== ''

function withFields(text: string, fields: Event): string {
  const added = JSON.stringify(fields).slice(1)
  const end = text.lastIndexOf('}')
  if (added === '}' || end < 0) return text
  const isEmpty = /^\s*\{\s*$/.test(text.slice(0, end))
  return `${text.slice(0, end)}${isEmpty ? '' : ','}${added}`
}

const encoder = new TextEncoder()
const toBytes = (text: string) => encoder.encode(text)

/** Placeholder: the project is given, and no token is looked up. */
const anyToken = 'resent_by_an_operator'

/**
 * An event of the v1 endpoint has fields beside `properties` that only v1 reads. Snapshots have a
 * contract of their own.
 */
function toCapture({ contracts, text, uuid, receivedMs }: ParcelOptions, event: Event) {
  const fields = toIdentity(event, { uuid, receivedMs })
  const whole = withFields(text, fields)
  if (v1Fields.some((name) => event[name] !== undefined)) {
    const created = new Date(receivedMs).toISOString()
    const body = toBytes(`{"created_at":"${created}","batch":[${whole}]}`)
    const headers = { authorization: `Bearer ${anyToken}`, 'content-type': 'application/json' }
    return { contract: contracts.captureV1, path: '/i/v1/analytics/events', body, headers }
  }
  // The events of one request must have one token, and this one may have its own.
  const token = [event.token, event.$token, event.api_key].find(isText) ?? anyToken
  const body = toBytes(`{"api_key":${JSON.stringify(token)},"batch":[${whole}]}`)
  const isSnapshot = event.event === '$snapshot' || event.event === '$snapshot_items'
  return isSnapshot
    ? { contract: contracts.recording, path: '/s', body }
    : { contract: contracts.capture, path: '/batch', body }
}

const v1Fields = ['options', 'session_id', 'window_id']

const uuidShape = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i

/**
 * Without uuid and time an event is never a duplicate. The last digits of the time differ from
 * letter to letter: with DEDUP_IDENTITY=contract the time alone tells events apart.
 */
function toIdentity(event: Event, { uuid, receivedMs }: { uuid: string; receivedMs: number }) {
  const hasUuid = typeof event.uuid === 'string' && uuidShape.test(event.uuid)
  const digits = Number.parseInt(uuid.slice(-5), 16) % 1_000_000
  const time = new Date(receivedMs).toISOString().slice(0, -1)
  const hasTime = isText(event.timestamp) || typeof event.timestamp === 'number'
  const isTimed = hasTime || event.offset !== undefined
  return {
    ...(hasUuid ? {} : { uuid }),
    ...(isTimed ? {} : { timestamp: `${time}${String(digits).padStart(6, '0')}Z` }),
  }
}

/**
 * The headers of a report are not kept in its dead letters. So its events have no properties of
 * headers, and `parse`, which asks for those headers, is skipped.
 */
function toReport({ contracts, text, uuid }: ParcelOptions) {
  const { report } = contracts
  const contract: AnyContract = {
    ...report,
    parse: (_, { value }) => {
      const submission = { credential: '', received: 1, events: [value] }
      return submission satisfies Submission
    },
  }
  const headers = { 'idempotency-key': `dead letter ${uuid}` }
  return { contract, path: '/v2/users/report/events', body: toBytes(text), headers }
}
