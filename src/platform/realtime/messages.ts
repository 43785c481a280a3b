import { nestingMax } from '../../core/limits.ts'
import type { RealtimeLimits } from './limits.ts'
import { weigh } from './payload.ts'

/** What clients send. Fields the contract names and we do not need (`timestamp`, `ackRequired`) may be anything. */
export type ClientMessage = { topic: string; messageId: string | undefined; payload: unknown }

export type NotificationLevel = 'info' | 'warning' | 'error'
export type Announcement = { level: NotificationLevel; message: string }

export type FaultCode = 'invalid_message' | 'permission_denied' | 'channel_not_found'

/** A refused message. It becomes the event of its code, and an ack with `status: "error"`. */
export class MessageFault extends Error {
  readonly code: FaultCode

  constructor(code: FaultCode, message: string) {
    super(message)
    this.name = 'MessageFault'
    this.code = code
  }
}

/** Reads `{topic, messageId}` of subscribe and unsubscribe. Throws MessageFault `invalid_message`. */
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

/** Reads `{topic, messageId, payload}` of publish. Throws MessageFault `invalid_message`. */
export function parsePublication(data: unknown, limits: RealtimeLimits): ClientMessage {
  const message = parseSubscription(data, limits)
  const { payload = null } = data as { payload?: unknown }
  if (weigh(payload, limits.payloadBytesMax, nestingMax) === Number.POSITIVE_INFINITY)
    throw invalid(
      `payload must not exceed ${limits.payloadBytesMax} bytes or ${nestingMax} levels of nesting`,
    )
  return { ...message, payload }
}

/** Reads `{timestamp}` of heartbeat. Throws MessageFault `invalid_message`. */
export function parseHeartbeat(data: unknown): void {
  if (data !== undefined && !isRecord(data)) throw invalid('the message must be an object')
}

/** What a client may post as a notification: text, or `{message, level?}`. */
export function parseAnnouncement(payload: unknown): Announcement {
  const { message, level = 'info' } = isRecord(payload)
    ? (payload as Partial<Announcement>)
    : { message: payload }
  if (typeof message !== 'string' || message === '')
    throw invalid('a notification is a text, or an object with a text as its message')
  if (!levels.has(level)) throw invalid('level must be one of info, warning, error')
  return { level, message }
}

/** The id to acknowledge by, of a message that may be anything. */
export function idOf(data: unknown): string | undefined {
  const id = isRecord(data) ? data.messageId : undefined
  return typeof id === 'string' && id !== '' && id.length <= idLengthMax ? id : undefined
}

/** The topic to name in an error, of a message that may be anything. */
export function topicOf(data: unknown): string | undefined {
  const topic = isRecord(data) ? data.topic : undefined
  return typeof topic === 'string' ? topic.slice(0, idLengthMax) : undefined
}

const idLengthMax = 256
const levels = new Set<unknown>(['info', 'warning', 'error'])

const invalid = (message: string) => new MessageFault('invalid_message', message)

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
