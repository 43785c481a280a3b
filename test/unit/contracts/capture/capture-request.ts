import { normaliseCapture } from '../../../../src/contracts/capture/normalise.ts'
import { captureProtocol } from '../../../../src/contracts/capture/protocol.ts'
import { normaliseRecording } from '../../../../src/contracts/capture/recording.ts'
import type {
  DecodedBody,
  IngestRequest,
  NormaliseContext,
  Project,
} from '../../../../src/core/protocol.ts'

export const receivedMs = Date.parse('2026-01-01T12:00:00.000Z')
export const token = 'phc_project'
export const project: Project = { id: token, origins: undefined, rate: undefined, quotas: {} }

const context: NormaliseContext = {
  project,
  dedupIdentity: 'uuid',
  lineBytesMax: 4 * 1024 * 1024,
  skewMsMin: 5000,
}

export function toRequest({
  path = '/e',
  query = '',
  headers = {},
}: {
  path?: string
  query?: string
  headers?: Record<string, string>
} = {}): IngestRequest {
  return {
    method: 'POST',
    path,
    query: new URLSearchParams(query),
    headers: new Headers(headers),
    clientIp: '198.51.100.1',
    receivedMs,
  }
}

export function toBody(value: unknown): DecodedBody {
  return { value, decodedBytes: Buffer.byteLength(JSON.stringify(value) ?? '') }
}

export type Run = Parameters<typeof toRequest>[0] & Partial<NormaliseContext>

/** Parses and normalises a body as the pipeline does. */
export function capture(value: unknown, run: Run = {}) {
  return normaliseWith(normaliseCapture, value, run)
}

export function record(value: unknown, run: Run = {}) {
  return normaliseWith(normaliseRecording, value, { path: '/s', ...run })
}

/** The row of the only event in `value`. */
export function captureOne(value: unknown, run: Run = {}) {
  const { events, rejections } = capture(value, run)
  const [event] = events
  if (event?.kind !== 'event' || events.length !== 1 || rejections.length > 0) {
    throw new Error(`not one event: ${JSON.stringify(rejections)}`)
  }
  return event
}

export function recordAll(value: unknown, run: Run = {}) {
  const { events, rejections } = record(value, run)
  if (rejections.length > 0) throw new Error(`rejected: ${JSON.stringify(rejections)}`)
  return events.flatMap((event) => (event.kind === 'recording' ? [event] : []))
}

function normaliseWith(normalise: typeof normaliseCapture, value: unknown, run: Run) {
  const request = toRequest(run)
  const submission = captureProtocol.parse(request, toBody(value))
  return normalise(request, submission, { ...context, ...run })
}
