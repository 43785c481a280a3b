import { resolve } from 'node:path'
import Type, { type Static } from 'typebox'
import { type Environment, parseSettings } from './environment.ts'

const kib = 1024
const mib = 1024 * kib
const gib = 1024 * mib

const text = (description: string, fallback?: string) =>
  Type.String({ description, ...(fallback === undefined ? {} : { default: fallback }) })
const secret = (description: string) => Type.String({ description, secret: true })
const integer = (description: string, [fallback, minimum, maximum]: [number, number, number]) =>
  Type.Integer({ description, default: fallback, minimum, maximum })
const list = (description: string) => Type.Array(Type.String(), { description, default: [] })
const choice = <const T extends string>(description: string, options: readonly T[], fallback: T) =>
  Type.Enum([...options], { description, default: fallback })
const flag = (description: string, fallback: boolean) =>
  Type.Boolean({ description, default: fallback })
const optional = Type.Optional

/** Every setting: its meaning with units, its default, its bounds. README's table is made from this. */
export const settingsSchema = Type.Object({
  PORT: integer('HTTP port; 0 picks a free one', [3000, 0, 65535]),
  HOST: text('address to listen on', '0.0.0.0'),
  DATA_DIR: text('folder of journal, markers and embedded engine', './data'),
  NODE_ENV: text('`production` refuses development keys and clients', 'development'),
  LOG_LEVEL: choice('least severe log line', ['debug', 'info', 'warn', 'error', 'silent'], 'info'),
  ACCESS_LOG: flag('one log line per request', true),
  SHUTDOWN_MS_MAX: integer('time to finish and ship on SIGTERM, ms', [10_000, 0, 600_000]),

  DURABILITY: choice(
    '`memory` acknowledges without a sync: a crash loses events',
    ['disk', 'memory'],
    'disk',
  ),
  JOURNAL_MAX_BYTES: integer('journal on disk; beyond it 503', [10 * gib, 16 * mib, 2 ** 50]),
  JOURNAL_SEGMENT_BYTES: integer('one segment file', [64 * mib, mib, gib]),
  RING_BYTES_MAX: integer('newest committed events kept in memory for the shippers', [
    64 * mib,
    mib,
    8 * gib,
  ]),
  INTAKE_BYTES_MAX: integer('request bodies in flight, with what they decode to', [
    256 * mib,
    // Three quarters of it hold the heaviest body there is: 25 MB, in pieces and whole, and 104 MiB for the work.
    208 * mib,
    64 * gib,
  ]),
  INFLIGHT_REQUESTS_MAX: integer('requests in flight; beyond it 503', [4096, 1, 1_000_000]),
  BODY_TIMEOUT_MS: integer('time to send a whole request body, ms', [30_000, 100, 600_000]),

  DEDUP_BYTES_MAX: integer('memory for the markers of the last 24 h, 8 bytes each', [
    256 * mib,
    mib,
    64 * gib,
  ]),
  DEDUP_IDENTITY: choice(
    '`contract` ignores the uuid when telling copies',
    ['uuid', 'contract'],
    'uuid',
  ),
  RATE_CAPTURE_PER_SECOND: integer(
    'capture requests per second and token, 0 = off',
    [0, 0, 10_000_000],
  ),
  RATE_CAPTURE_BURST: integer('burst above it; 0 = twice the rate', [0, 0, 10_000_000]),
  RATE_TELEMETRY_PER_MINUTE: integer(
    'telemetry requests per minute and client IP, 0 = off',
    [1000, 0, 100_000_000],
  ),
  RATE_AUTH_PER_MINUTE: integer(
    'auth requests per minute and client IP, 0 = off',
    [60, 0, 100_000_000],
  ),
  RATE_SOCKET_PER_MINUTE: integer(
    'Socket.IO connections per minute and client IP, 0 = off',
    [100, 0, 100_000_000],
  ),
  OVERFLOW_PER_SECOND: integer(
    'events per second and distinct_id before they overflow, 0 = off',
    [1000, 0, 10_000_000],
  ),
  OVERFLOW_BURST: integer('burst above it', [10_000, 0, 100_000_000]),
  REPORT_EVENTS_MAX: integer('events in one report', [1000, 1, 100_000]),
  TELEMETRY_EVENTS_MAX: integer('events in one telemetry batch', [1000, 1, 100_000]),
  PROJECTS_FILE: optional(text('TOML or JSON file of projects, clients and users')),
  TRUSTED_PROXIES: list(
    'addresses or CIDR ranges that may set X-Forwarded-For and -Proto, comma-separated',
  ),
  CORS_ORIGINS: list('origins allowed to call from a browser, comma-separated; empty allows any'),

  CLICKHOUSE_URL: optional(
    secret('http(s)://user:password@host:8123/database; unset runs the embedded engine'),
  ),
  CLICKHOUSE_CLUSTER: optional(text('cluster name: ON CLUSTER and Replicated engines')),
  CLICKHOUSE_FLUSH_MS: integer('time between inserts, ms', [1000, 10, 60_000]),
  CLICKHOUSE_ROWS_MAX: integer('rows of one insert', [50_000, 1, 1_000_000]),
  CLICKHOUSE_BYTES_MAX: integer('bytes of one insert', [64 * mib, mib, gib]),
  CLICKHOUSE_TIMEOUT_MS: integer('one insert, ms', [60_000, 100, 3_600_000]),
  EMBEDDED_CLICKHOUSE_PORT: integer(
    'read-only HTTP interface of the embedded engine, on 127.0.0.1; 0 = off',
    [8123, 0, 65535],
  ),
  EVENTS_TTL_DAYS: integer('delete events after this many days, 0 = never', [0, 0, 36_500]),

  KAFKA_BROKERS: list('host:port, comma-separated; empty sends nothing to Kafka'),
  KAFKA_TOPIC_EVENTS: text('topic of events', 'events'),
  KAFKA_TOPIC_OVERFLOW: text('topic of events of overheated keys', 'events_overflow'),
  KAFKA_TOPIC_HISTORICAL: text('topic of migrated events', 'events_historical'),
  KAFKA_TOPIC_RECORDINGS: text('topic of session recordings', 'recordings'),
  KAFKA_TOPIC_LINK_EVENTS: text('topic of link events', 'link_events'),
  KAFKA_TOPIC_DEAD_LETTERS: text('topic of dead letters', 'dead_letters'),
  KAFKA_PARTITIONS: integer('partitions of topics made by us', [8, 1, 10_000]),
  KAFKA_REPLICATION: integer('replicas of topics made by us', [1, 1, 100]),
  KAFKA_LINGER_MS: integer('time to gather a send, ms', [20, 0, 10_000]),
  KAFKA_COMPRESS_ABOVE_BYTES: integer('gzip values whose properties exceed this, 0 = off', [
    1024,
    0,
    gib,
  ]),
  KAFKA_MESSAGE_BYTES_MAX: integer('largest record a broker takes', [4 * mib, 64 * kib, gib]),
  KAFKA_TLS: flag('TLS to the brokers', false),
  KAFKA_TLS_CA_FILE: optional(text('certificates that sign the brokers’')),
  KAFKA_SASL_MECHANISM: choice(
    'how to log in',
    ['none', 'plain', 'scram-sha-256', 'scram-sha-512'],
    'none',
  ),
  KAFKA_SASL_USERNAME: optional(text('user of the brokers')),
  KAFKA_SASL_PASSWORD: optional(secret('its password')),
  KAFKA_TIMEOUT_MS: integer('one request to a broker, ms', [30_000, 100, 600_000]),

  REDIS_URL: optional(secret('redis(s)://…; several, comma-separated, make a cluster')),
  REDIS_TIMEOUT_MS: integer('one call; beyond it the request goes on without, ms', [50, 1, 10_000]),
  REDIS_PREFIX: text('prefix of every key', 'spillway'),

  AUTH_KEYS_FILE: optional(text('signing keys as a JWK set; the first signs, all verify')),
  AUTH_ISSUER: text('`iss` and `aud` of tokens', 'spillway'),
  AUTH_ACCESS_SECONDS: integer('life of an access token, seconds', [3600, 1, 86_400]),
  AUTH_REFRESH_SECONDS: integer('life of a refresh token, seconds', [2_592_000, 1, 31_536_000]),
  REALTIME_PORT: integer('port of Socket.IO when WORKERS is above 1', [3001, 0, 65535]),
  PUBLIC_URL: optional(text('how clients reach this server; unset takes the request’s Host')),
  TLS_CERT_FILE: optional(text('certificate chain, PEM; with TLS_KEY_FILE serves HTTPS')),
  TLS_KEY_FILE: optional(text('its private key, PEM')),
  WORKERS: integer(
    'HTTP processes on one port; above 1 needs CLICKHOUSE_URL and REDIS_URL',
    [1, 1, 256],
  ),
})

export type Config = Static<typeof settingsSchema> & { dataDir: string }

/** Reads the environment once. Throws SettingsError, which names every fault. */
export function loadConfig(environment: Environment): { config: Config; warnings: string[] } {
  const { values, warnings } = parseSettings(settingsSchema, environment)
  const config = values as Static<typeof settingsSchema>
  return { config: { ...config, dataDir: resolve(config.DATA_DIR) }, warnings }
}
