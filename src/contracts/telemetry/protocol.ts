import { IngestError } from '../../core/errors.ts'
import type { Rejection } from '../../core/event.ts'
import { bodyBytesMax } from '../../core/limits.ts'
import type {
  DecodedBody,
  IngestRequest,
  Outcome,
  Protocol,
  Reply,
  Submission,
} from '../../core/protocol.ts'
import { SeededMap } from '../../core/seeded-map.ts'
import { toRetryAfter } from '../shared/headers.ts'
import { isShortText } from '../shared/text.ts'

/** BMT telemetry: `POST /api/telemetry/events`. See docs/contracts/telemetry.md. */
export function createTelemetryProtocol({
  eventsMax,
}: {
  eventsMax: number
}): Protocol<TelemetrySubmission> {
  return {
    name: 'telemetry',
    decode: { bodyBytesMax, forms: true, base64: false },
    parse: (_request, body) => parseTelemetry(body, eventsMax),
    reply: replyTelemetry,
    refuse: refuseTelemetry,
  }
}

export type TelemetrySubmission = Submission & {
  /** The events as parsed JSON. Normalisation validates each of them. */
  events: readonly unknown[]
}

/** Each event names its app in place of a credential. Throws invalid_batch, empty_batch, too_many_events. */
function parseTelemetry({ value }: DecodedBody, eventsMax: number): TelemetrySubmission {
  if (typeof value !== 'object' || value === null) {
    throw new IngestError('invalid_batch', 'the body must be an event or an array of events')
  }
  const events: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (events.length === 0) throw new IngestError('empty_batch', 'the batch holds no event')
  if (events.length > eventsMax) {
    throw new IngestError('too_many_events', `a batch holds at most ${eventsMax} events`)
  }
  return { credential: '', received: events.length, events, apps: toApps(events) }
}

/** The apps that the events name, each once. Names that no app can have are left out. */
function toApps(events: readonly unknown[]): readonly string[] {
  const apps = new SeededMap<true>()
  let last: unknown
  for (const event of events) {
    const app = (event as { app?: unknown } | null | undefined)?.app
    if (app === last) continue
    last = app
    if (isShortText(app)) apps.add(app, true)
  }
  return apps.keys()
}

/** 200 even if some events are rejected; 400 if all are. Duplicates count as processed. */
function replyTelemetry(
  _request: IngestRequest,
  { received }: TelemetrySubmission,
  { events, duplicates, rejections }: Outcome,
): Reply {
  const errors = rejections.map(toErrorLine)
  if (errors.length === received) {
    const body = { success: false, error: 'no event of the batch is valid', details: errors }
    return { status: 400, body: JSON.stringify(body) }
  }
  const processed = events.length + duplicates
  const body = { success: true, received, processed, ...(errors.length > 0 ? { errors } : {}) }
  return { status: 200, body: JSON.stringify(body) }
}

const toErrorLine = ({ index, message }: Rejection) => `events[${index}]: ${message}`

function refuseTelemetry(error: IngestError): Reply {
  const { code, message, status } = error
  const body = JSON.stringify({ success: false, error: message, details: { code } })
  return { status, body, headers: toRetryAfter(error) }
}
