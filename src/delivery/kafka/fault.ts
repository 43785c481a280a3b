/** Why a send did not end well, by what is to be done about it. */
export type SendFault = {
  /**
   * `retry`: the outcome is unknown, or it may go better later. `too_large`, `refused`: never for these
   * records as they stand. `no_partition`, `no_topic`: the topic is not what it was.
   */
  kind: 'retry' | 'too_large' | 'refused' | 'no_partition' | 'no_topic'
  /** One of a bounded set, for metrics. */
  reason: string
  /** For a person. */
  message: string
}

const kinds: Record<string, SendFault['kind']> = {
  MESSAGE_TOO_LARGE: 'too_large',
  RECORD_LIST_TOO_LARGE: 'too_large',
  INVALID_RECORD: 'refused',
  UNKNOWN_TOPIC_OR_PARTITION: 'no_topic',
}

/** What kafkajs recovers from on the same connection: it dials again and asks for the leaders anew. */
const recoverable = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSBrokerNotFound',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
])

const reasons: Record<string, string> = {
  KafkaJSConnectionError: 'connection',
  KafkaJSConnectionClosedError: 'connection',
  KafkaJSRequestTimeoutError: 'timeout',
  KafkaJSSASLAuthenticationError: 'authentication',
}

/** `isPoisoned`: the connection may hang, or kafkajs is in a state from which it does not come back. */
export function toSendFault(thrown: unknown): SendFault & { isPoisoned: boolean } {
  const error = toCause(thrown)
  const type = (error as { type?: unknown }).type
  const message = toMessage(error)
  if (error.name === 'KafkaJSProtocolError' && typeof type === 'string')
    return { kind: kinds[type] ?? 'retry', reason: type.toLowerCase(), message, isPoisoned: false }
  const reason = reasons[error.name] ?? 'client'
  return { kind: 'retry', reason, message, isPoisoned: !recoverable.has(error.name) }
}

/** What happened, for a person: kafkajs names the faults of a request for several things apart from it. */
function toMessage(thrown: unknown): string {
  const error = toCause(thrown)
  const { errors } = error as { errors?: unknown }
  if (!Array.isArray(errors)) return error.message
  return `${error.message}: ${errors.map(toMessage).join('; ')}`
}

/** kafkajs wraps what happened in an error that says it gave up. */
function toCause(thrown: unknown): Error {
  let error = thrown instanceof Error ? thrown : new Error(String(thrown))
  while (error.cause instanceof Error) error = error.cause
  return error
}
