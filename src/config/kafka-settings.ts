import * as checks from './checks.ts'
import {
  choice,
  flag,
  gib,
  integer,
  kib,
  list,
  mib,
  optional,
  secret,
  text,
} from './setting-types.ts'

/** The settings of the sink Kafka: their own file, because config.ts has no room for them. */
export const kafkaSettings = {
  KAFKA_BROKERS: list('host:port, comma-separated; empty turns Kafka off', checks.broker),
  KAFKA_TOPIC_EVENTS: text('topic of events', 'events'),
  KAFKA_TOPIC_OVERFLOW: text('topic of events above OVERFLOW_PER_SECOND', 'events_overflow'),
  KAFKA_TOPIC_HISTORICAL: text('topic of migrated events', 'events_historical'),
  KAFKA_TOPIC_RECORDINGS: text('topic of session recordings', 'recordings'),
  KAFKA_TOPIC_LINK_EVENTS: text('topic of link events', 'link_events'),
  KAFKA_TOPIC_DEAD_LETTERS: text('topic of dead letters', 'dead_letters'),
  KAFKA_PARTITIONS: integer('partitions of the topics that the server creates', [8, 1, 10_000]),
  KAFKA_REPLICATION: integer('replicas of the topics that the server creates', [1, 1, 100]),
  KAFKA_LINGER_MS: integer(
    'time that records wait so that one send carries more of them, ms',
    [20, 0, 10_000],
  ),
  KAFKA_COMPRESS_ABOVE_BYTES: integer(
    'record values with larger properties are compressed with gzip; 0 = never',
    [1024, 0, gib],
  ),
  KAFKA_COMPRESSION: choice(
    'compression of whole batches of records; consumers undo it by themselves',
    ['none', 'gzip', 'zstd'],
    'none',
  ),
  KAFKA_IDEMPOTENT: flag('brokers store a batch once that is sent again after a fault', false),
  KAFKA_MESSAGE_BYTES_MAX: integer('largest record that the brokers accept', [
    4 * mib,
    64 * kib,
    gib,
  ]),
  KAFKA_TLS: flag('connect to the brokers over TLS', false),
  KAFKA_TLS_CA_FILE: optional(
    text('PEM file of the certificate authorities that sign the brokers’ certificates'),
  ),
  KAFKA_SASL_MECHANISM: choice(
    'how to log in to the brokers',
    ['none', 'plain', 'scram-sha-256', 'scram-sha-512'],
    'none',
  ),
  KAFKA_SASL_USERNAME: optional(text('user name at the brokers')),
  KAFKA_SASL_PASSWORD: optional(secret('password at the brokers')),
  KAFKA_TIMEOUT_MS: integer('time limit of one request to a broker, ms', [30_000, 100, 600_000]),
}
