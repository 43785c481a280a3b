import type { Config } from '../../config/config.ts'

/** Plain data: it is sent to the delivery thread. */
export type KafkaSettings = Pick<Config, Extract<keyof Config, `KAFKA_${string}`>>

/** Throws an Error with a text for the operator when the settings contradict each other. */
export function parseKafkaSettings(settings: KafkaSettings): KafkaSettings {
  if (settings.KAFKA_BROKERS.length === 0)
    throw new Error(
      'SINKS names kafka, but KAFKA_BROKERS is empty; set it to host:port of a broker',
    )
  if (settings.KAFKA_TLS_CA_FILE && !settings.KAFKA_TLS)
    throw new Error('KAFKA_TLS_CA_FILE is set, but KAFKA_TLS is not; set KAFKA_TLS=true')
  for (const broker of settings.KAFKA_BROKERS)
    if (!brokerShape.test(broker)) throw new Error(`KAFKA_BROKERS: "${broker}" is not host:port`)
  for (const name of Object.values(toTopics(settings)))
    if (!topicShape.test(name)) throw new Error(`"${name}" cannot be the name of a Kafka topic`)
  parseSasl(settings)
  return settings
}

/** kafkajs does not accept IPv6 addresses. */
const brokerShape = /^[^:\s]+:\d{1,5}$/
/** The topic names that a broker accepts. It rejects every other name on every retry. */
const topicShape = /^[a-zA-Z0-9._-]{1,249}$/

export type KafkaTopics = ReturnType<typeof toTopics>

export const toTopics = (settings: KafkaSettings) => ({
  events: settings.KAFKA_TOPIC_EVENTS,
  overflow: settings.KAFKA_TOPIC_OVERFLOW,
  historical: settings.KAFKA_TOPIC_HISTORICAL,
  recordings: settings.KAFKA_TOPIC_RECORDINGS,
  linkEvents: settings.KAFKA_TOPIC_LINK_EVENTS,
  deadLetters: settings.KAFKA_TOPIC_DEAD_LETTERS,
})

/** Undefined when the brokers need no login. */
export function parseSasl(settings: KafkaSettings) {
  const {
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username,
    KAFKA_SASL_PASSWORD: password,
  } = settings
  if (mechanism === 'none') {
    if (username || password)
      throw new Error('KAFKA_SASL_MECHANISM is none, but a user or a password is set')
    return undefined
  }
  if (!username || !password)
    throw new Error('KAFKA_SASL_MECHANISM needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD')
  return { mechanism, username, password }
}
