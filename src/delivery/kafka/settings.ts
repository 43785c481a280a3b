/** What the Kafka sink needs to know. It travels to the shippers' thread, so it is plain data. */
export type KafkaSettings = {
  /** `host:port` each. */
  brokers: readonly string[]
  topics: KafkaTopics
  /** Of topics made by us. */
  partitions: number
  replication: number
  lingerMs: number
  /** Values whose properties exceed this are gzipped; 0 = off. */
  compressAboveBytes: number
  /** The largest record; topics made by us take it. */
  messageBytesMax: number
  /** One request to a broker. */
  timeoutMs: number
  /** Undefined: no TLS. `caFile`: the certificates that sign the brokers', else the system's. */
  tls: { caFile: string | undefined } | undefined
  sasl: { mechanism: SaslMechanism; username: string; password: string } | undefined
}

export type KafkaTopics = {
  events: string
  overflow: string
  historical: string
  recordings: string
  linkEvents: string
  deadLetters: string
}

export type SaslMechanism = 'plain' | 'scram-sha-256' | 'scram-sha-512'

/** The settings of config.ts that are Kafka's. */
export type KafkaConfig = {
  KAFKA_BROKERS: readonly string[]
  KAFKA_TOPIC_EVENTS: string
  KAFKA_TOPIC_OVERFLOW: string
  KAFKA_TOPIC_HISTORICAL: string
  KAFKA_TOPIC_RECORDINGS: string
  KAFKA_TOPIC_LINK_EVENTS: string
  KAFKA_TOPIC_DEAD_LETTERS: string
  KAFKA_PARTITIONS: number
  KAFKA_REPLICATION: number
  KAFKA_LINGER_MS: number
  KAFKA_COMPRESS_ABOVE_BYTES: number
  KAFKA_MESSAGE_BYTES_MAX: number
  KAFKA_TIMEOUT_MS: number
  KAFKA_TLS: boolean
  KAFKA_TLS_CA_FILE?: string
  KAFKA_SASL_MECHANISM: 'none' | SaslMechanism
  KAFKA_SASL_USERNAME?: string
  KAFKA_SASL_PASSWORD?: string
}

/** Throws an Error, for a person to read, where settings contradict each other. */
export function toKafkaSettings(config: KafkaConfig): KafkaSettings {
  if (config.KAFKA_TLS_CA_FILE && !config.KAFKA_TLS)
    throw new Error('KAFKA_TLS_CA_FILE is set, but KAFKA_TLS is not')
  for (const broker of config.KAFKA_BROKERS)
    if (!brokerShape.test(broker)) throw new Error(`KAFKA_BROKERS: "${broker}" is not host:port`)
  return {
    brokers: config.KAFKA_BROKERS,
    topics: toTopics(config),
    partitions: config.KAFKA_PARTITIONS,
    replication: config.KAFKA_REPLICATION,
    lingerMs: config.KAFKA_LINGER_MS,
    compressAboveBytes: config.KAFKA_COMPRESS_ABOVE_BYTES,
    messageBytesMax: config.KAFKA_MESSAGE_BYTES_MAX,
    timeoutMs: config.KAFKA_TIMEOUT_MS,
    tls: config.KAFKA_TLS ? { caFile: config.KAFKA_TLS_CA_FILE } : undefined,
    sasl: toSasl(config),
  }
}

/** kafkajs takes no IPv6 address. */
const brokerShape = /^[^:\s]+:\d{1,5}$/
/** What a broker takes for a topic's name; it would refuse another for ever. */
const topicShape = /^[a-zA-Z0-9._-]{1,249}$/

function toTopics(config: KafkaConfig): KafkaTopics {
  const topics = {
    events: config.KAFKA_TOPIC_EVENTS,
    overflow: config.KAFKA_TOPIC_OVERFLOW,
    historical: config.KAFKA_TOPIC_HISTORICAL,
    recordings: config.KAFKA_TOPIC_RECORDINGS,
    linkEvents: config.KAFKA_TOPIC_LINK_EVENTS,
    deadLetters: config.KAFKA_TOPIC_DEAD_LETTERS,
  }
  for (const name of Object.values(topics))
    if (!topicShape.test(name)) throw new Error(`"${name}" cannot be the name of a Kafka topic`)
  return topics
}

function toSasl(config: KafkaConfig): KafkaSettings['sasl'] {
  const { KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = config
  if (config.KAFKA_SASL_MECHANISM === 'none') {
    if (username || password) throw new Error('KAFKA_SASL_MECHANISM is none, but a user is set')
    return undefined
  }
  if (!username || !password)
    throw new Error('KAFKA_SASL_MECHANISM needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD')
  return { mechanism: config.KAFKA_SASL_MECHANISM, username, password }
}
