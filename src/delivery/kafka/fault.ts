/** A failed send, classified by how to handle it. */
export type SendFault = {
  /**
   * `retry`: the outcome is unknown, or a later attempt may succeed. `too_large`, `rejected`: these
   * messages can never be stored as they are. `no_partition`, `no_topic`: the topic has changed.
   */
  kind: 'retry' | 'too_large' | 'rejected' | 'no_partition' | 'no_topic'
  /** One of a bounded set, for metrics. */
  reason: string
  /** For the log. */
  message: string
}

const kinds: Record<string, SendFault['kind']> = {
  MESSAGE_TOO_LARGE: 'too_large',
  RECORD_LIST_TOO_LARGE: 'too_large',
  INVALID_RECORD: 'rejected',
  UNKNOWN_TOPIC_OR_PARTITION: 'no_topic',
}

/** kafkajs recovers from these on the same connection: it dials again and refreshes its metadata. */
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

/**
 * The brokers do not know the producer's id or expect another sequence from it. Another id ends this;
 * records whose outcome is unknown may then be stored twice.
 */
const producerFaults = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'DUPLICATE_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'UNKNOWN_PRODUCER_ID',
])

/** `isPoisoned`: the connection may hang, or kafkajs is in a state that it cannot recover from. */
export type ConnectionFault = SendFault & { isPoisoned: boolean; needsProducer: boolean }

export function toSendFault(thrown: unknown): ConnectionFault {
  const error = toCause(thrown)
  const type = (error as { type?: unknown }).type
  const message = toMessage(error)
  if (error.name === 'KafkaJSProtocolError' && typeof type === 'string') {
    const needsProducer = producerFaults.has(type)
    const reason = type.toLowerCase()
    return {
      kind: kinds[type] ?? 'retry',
      reason,
      message,
      isPoisoned: needsProducer,
      needsProducer,
    }
  }
  const reason = reasons[error.name] ?? 'client'
  const isPoisoned = !recoverable.has(error.name)
  return { kind: 'retry', reason, message, isPoisoned, needsProducer: false }
}

/** kafkajs lists the faults of one request for several topics in `errors`. */
function toMessage(thrown: unknown): string {
  const error = toCause(thrown)
  const { errors } = error as { errors?: unknown }
  if (!Array.isArray(errors)) return error.message
  return `${error.message}: ${errors.map(toMessage).join('; ')}`
}

/** kafkajs wraps the original error in one that says how many retries it made. */
function toCause(thrown: unknown): Error {
  let error = thrown instanceof Error ? thrown : new Error(String(thrown))
  while (error.cause instanceof Error) error = error.cause
  return error
}
