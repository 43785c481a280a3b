import type { Server, Socket } from 'socket.io'
import { nestingMax } from '../../core/limits.ts'
import type { RealtimeLimits } from './limits.ts'

/**
 * A message from a client. The contract's fields `timestamp` and `ackRequired` are not used and not
 * checked.
 */
export type ClientMessage = { topic: string; messageId: string | undefined; payload: unknown }

type NotificationLevel = 'info' | 'warning' | 'error'
export type Announcement = { level: NotificationLevel; message: string }

export type FaultCode = 'invalid_message' | 'permission_denied' | 'channel_not_found'

/**
 * A rejected message. The client gets an event named by the code, and an ack with `status:
 * "error"`.
 */
export class MessageFault extends Error {
  readonly code: FaultCode

  constructor(code: FaultCode, message: string) {
    super(message)
    this.name = 'MessageFault'
    this.code = code
  }
}

/**
 * Parses `{topic, messageId}` of subscribe and unsubscribe. Throws MessageFault `invalid_message`.
 */
export function parseSubscription(data: unknown, limits: RealtimeLimits): ClientMessage {
  if (!isRecord(data)) throw invalid('the message must be an object')
  const { topic, messageId } = data
  if (typeof topic !== 'string' || topic === '') throw invalid('topic must be a non-empty string')
  if (topic.length > limits.topicLengthMax)
    throw invalid(`topic must not exceed ${limits.topicLengthMax} characters`)
  if (messageId !== undefined && messageId !== null && idOf(data) === undefined)
    throw invalid(`messageId must be a non-empty string of at most ${idLengthMax} characters`)
  return { topic, messageId: idOf(data), payload: undefined }
}

/** Parses `{topic, messageId, payload}` of publish. Throws MessageFault `invalid_message`. */
export function parsePublication(data: unknown, limits: RealtimeLimits): ClientMessage {
  const message = parseSubscription(data, limits)
  const { payload } = data as { payload?: unknown }
  if (payload === undefined) throw invalid('payload is missing')
  const bounds = { bytesMax: limits.payloadBytesMax, depthMax: nestingMax }
  if (estimateBytes(payload, bounds) === Number.POSITIVE_INFINITY)
    throw invalid(
      `payload must not exceed ${limits.payloadBytesMax} bytes or ${nestingMax} levels of nesting`,
    )
  return { ...message, payload }
}

/** Checks the body of a heartbeat. Throws MessageFault `invalid_message`. */
export function parseHeartbeat(data: unknown): void {
  if (data !== undefined && !isRecord(data)) throw invalid('the message must be an object')
}

/**
 * Parses a notification that a client publishes: a string, or `{message, level?}`. Throws
 * MessageFault.
 */
export function parseAnnouncement(payload: unknown): Announcement {
  const { message, level = 'info' } = isRecord(payload)
    ? (payload as Partial<Announcement>)
    : { message: payload }
  if (typeof message !== 'string' || message === '')
    throw invalid('a notification must be a string, or an object with a string "message"')
  if (!levels.has(level)) throw invalid('level must be one of info, warning, error')
  return { level, message }
}

/** The id for the ack. Total: `data` may be anything. */
export function idOf(data: unknown): string | undefined {
  const id = isRecord(data) ? data.messageId : undefined
  return typeof id === 'string' && id !== '' && id.length <= idLengthMax ? id : undefined
}

/** The topic to name in an error. Total: `data` may be anything. */
export function topicOf(data: unknown): string | undefined {
  const topic = isRecord(data) ? data.topic : undefined
  return typeof topic === 'string' ? topic.slice(0, idLengthMax) : undefined
}

/**
 * Estimates the bytes of a payload as JSON, attachments included. Infinity if it exceeds `bytesMax`
 * or nests deeper than `depthMax`. Stops at the bound: the cost does not grow with the size of the
 * payload.
 */
export function estimateBytes(
  payload: unknown,
  { bytesMax, depthMax }: { bytesMax: number; depthMax: number },
): number {
  let bytes = 0
  const add = (more: number) => {
    bytes += more
    return bytes <= bytesMax
  }
  return isWithin(payload, depthMax, add) ? bytes : Number.POSITIVE_INFINITY
}

type Add = (bytes: number) => boolean

function isWithin(value: unknown, depthLeft: number, add: Add): boolean {
  if (typeof value === 'string') return add(Buffer.byteLength(value) + 2)
  if (typeof value !== 'object' || value === null) return add(String(value).length)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return add(value.byteLength)
  if (depthLeft === 0) return false
  if (Array.isArray(value))
    return add(2) && value.every((entry) => add(1) && isWithin(entry, depthLeft - 1, add))
  return add(2) && areEntriesWithin(value as Record<string, unknown>, depthLeft - 1, add)
}

function areEntriesWithin(record: Record<string, unknown>, depthLeft: number, add: Add): boolean {
  for (const name in record) {
    if (!add(Buffer.byteLength(name) + 4) || !isWithin(record[name], depthLeft, add)) return false
  }
  return true
}

const idLengthMax = 256
const levels = new Set<unknown>(['info', 'warning', 'error'])

const invalid = (message: string) => new MessageFault('invalid_message', message)

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The events that the server sends (docs/contracts/platform.md). Timestamps in ms since 1970. */
export type ServerEvents = {
  message(message: {
    id: string
    topic: string
    type: 'event'
    payload: unknown
    timestamp: number
    from: string
  }): void
  ack(ack: Ack): void
  notification(notification: {
    id: string
    type: 'notification'
    level: NotificationLevel
    message: string
    timestamp: number
  }): void
  auth_error(error: { code: string; message: string }): void
  permission_denied(error: ErrorBody): void
  channel_not_found(error: ErrorBody): void
  invalid_message(error: ErrorBody): void
}

export type Ack = { id: string; type: 'ack'; status: 'success' | 'error'; error?: string }

/** The body of an error event. `id` is the client's message id. */
export type ErrorBody = { id?: string; topic?: string; message: string }

/** `socket.data`, which Socket.IO stores with a session. `lost` is set after a recovery only. */
export type SocketData = { holder?: string; lost?: LostSession }

/** Topics and packets of a recovered connection, kept back until its new token is verified. */
export type LostSession = {
  holder: string
  topics: readonly string[]
  packets: readonly unknown[][]
}

type Incoming = Record<string, (...data: unknown[]) => void>

export type Io = Server<Incoming, ServerEvents, Record<string, never>, SocketData>
export type IoSocket = Socket<Incoming, ServerEvents, Record<string, never>, SocketData>
