import { resolve } from 'node:path'
import Type, { type Static } from 'typebox'
import * as checks from './checks.ts'
import { type Environment, parseSettings, SettingsError } from './environment.ts'
import { kafkaSettings } from './kafka-settings.ts'
import { choice, flag, gib, integer, list, mib, optional, secret, text } from './setting-types.ts'

/**
 * Three quarters of so much INTAKE_BYTES_MAX hold the largest body: 25 MB as chunks and as a whole, and 104 MiB to
 * process it. With less, the bounds of a body are lowered in proportion.
 */
export const intakeBytesOfLargest = 208 * mib

/** Every setting: its meaning with units, its default and its bounds. docs/settings.md is made from it. */
export const settingsSchema = Type.Object({
  PORT: integer('HTTP port; 0 picks a free one, which the first log line names', [3000, 0, 65535]),
  HOST: text('address to listen on', '0.0.0.0', checks.host),
  DATA_DIR: text('folder of the journal, the dedup keys and the embedded ClickHouse', './data'),
  NODE_ENV: choice(
    '`production` refuses to start with development keys and clients, and closes what docs/security.md lists',
    ['development', 'test', 'production'],
    'development',
  ),
  LOG_LEVEL: choice(
    'least severe level that is logged',
    ['debug', 'info', 'warn', 'error', 'silent'],
    'info',
  ),
  LOG_FORMAT: choice('log lines; `auto`: text in a terminal', ['auto', 'json', 'text'], 'auto'),
  ACCESS_LOG: flag('one log line for each request, at level `info`', true),
  DRAIN_MS: integer(
    'time before a stop in which readiness says 503 and requests are still served, so that load balancers look elsewhere, ms',
    [0, 0, 600_000],
  ),
  SHUTDOWN_MS_MAX: integer(
    'time limit on SIGTERM, after DRAIN_MS, to finish requests and ship events, ms',
    [10_000, 0, 600_000],
  ),

  KEEP_ALIVE_SECONDS: integer(
    'a silent connection is closed after this many seconds; more than the load balancer’s own time',
    // Socket.IO pings each 25 s. Bun's bound is 255.
    [75, 30, 255],
  ),
  ADMIN_TOKEN: optional(
    secret(
      'bearer token for `/metrics`, the console and the details of health, at least 16 characters',
      checks.adminToken,
    ),
  ),
  ADMIN_PORT: integer(
    'another port for `/metrics`, the console and health, without a token; keep it from the internet; 0 = off',
    [0, 0, 65535],
  ),

  DURABILITY: choice(
    '`disk`: a 200 means that the events are on disk; `memory`: a crash loses acknowledged events',
    ['disk', 'memory'],
    'disk',
  ),
  JOURNAL_MAX_BYTES: integer('size limit of the journal on disk; beyond it requests get 503', [
    10 * gib,
    16 * mib,
    2 ** 50,
  ]),
  JOURNAL_SEGMENT_BYTES: integer('size of one journal file', [64 * mib, mib, gib]),
  RING_BYTES_MAX: integer('memory for recent records, which the shippers read without the disk', [
    64 * mib,
    mib,
    8 * gib,
  ]),
  INTAKE_BYTES_MAX: integer(
    'memory for request bodies in flight and what they decode to; beyond it 503; below 208 MiB the largest bodies are smaller in proportion',
    [256 * mib, 64 * mib, 64 * gib],
  ),
  INFLIGHT_REQUESTS_MAX: integer('requests in flight; beyond it 503', [4096, 1, 1_000_000]),
  BODY_WORK_MS_MAX: integer(
    'CPU time of the work on one body above 128 KiB; beyond it 413, ms',
    [5000, 100, 600_000],
  ),
  BODY_TIMEOUT_MS: integer(
    'time limit to receive a whole request body, ms',
    [30_000, 100, 600_000],
  ),

  DEDUP_BYTES_MAX: integer(
    'memory for the dedup keys of the last 24 h, 8 to 26 bytes each; when it is full the oldest are evicted',
    [256 * mib, mib, 64 * gib],
  ),
  DEDUP_IDENTITY: choice(
    '`contract` ignores the client’s uuid when it looks for duplicates',
    ['uuid', 'contract'],
    'uuid',
  ),
  SKEW_MS_MIN: integer(
    'capture: the clock of a client that differs by at most this much is not corrected, ms',
    [5000, 0, 86_400_000],
  ),
  RATE_CAPTURE_PER_SECOND: integer(
    'capture requests per second and token; 0 = no limit',
    [0, 0, 10_000_000],
  ),
  RATE_CAPTURE_BURST: integer(
    'capture requests at once above that rate; 0 = twice the rate',
    [0, 0, 10_000_000],
  ),
  RATE_TELEMETRY_PER_MINUTE: integer(
    'telemetry requests per minute and client IP; 0 = no limit',
    [1000, 0, 100_000_000],
  ),
  RATE_LINK_PER_MINUTE: integer(
    'link events per minute and client IP; 0 = no limit',
    [1000, 0, 100_000_000],
  ),
  RATE_AUTH_PER_MINUTE: integer(
    'token requests per minute and client IP; 0 = no limit',
    [60, 0, 100_000_000],
  ),
  RATE_SOCKET_PER_MINUTE: integer(
    'Socket.IO connections per minute and client IP; 0 = no limit',
    [100, 0, 100_000_000],
  ),
  OVERFLOW_PER_SECOND: integer(
    'events per second and distinct_id; above it they go to the overflow topic; 0 = no limit',
    [1000, 0, 10_000_000],
  ),
  OVERFLOW_BURST: integer(
    'events at once of a distinct_id above that rate',
    [10_000, 0, 100_000_000],
  ),
  REPORT_EVENTS_MAX: integer('events in one report', [1000, 1, 100_000]),
  TELEMETRY_EVENTS_MAX: integer('events in one telemetry batch', [1000, 1, 100_000]),
  PROJECTS_FILE: optional(text('TOML or JSON file of projects, clients and users')),
  TRUSTED_PROXIES: list(
    'addresses or CIDR ranges of proxies whose X-Forwarded-For and -Proto are trusted, comma-separated',
    checks.addressRange,
  ),
  POSTHOG_JS_DIR: optional(
    text(
      '`dist` folder of posthog-js, served under `/static/`; unset announces no session recording to browsers',
      undefined,
      checks.scriptFolder,
    ),
  ),
  CORS_ORIGINS: list('origins whose pages may call the server, comma-separated; empty allows any'),

  ENRICH: list(
    'what is filled in where a client did not send it, comma-separated: `user_agent`, `geo`, `bots`, `utm`; a project of PROJECTS_FILE may choose otherwise',
    checks.enrichPart,
  ),
  ENRICH_BOTS: choice(
    'events of robots are marked, or left out and counted, if `bots` is on',
    ['mark', 'drop'],
    'mark',
  ),
  GEOIP_FILE: optional(
    text('file in MaxMind’s format (.mmdb) for `geo`; read again when it changes'),
  ),

  SINKS: optional(
    Type.Array(Type.String(), {
      description:
        'where events go, comma-separated: `clickhouse`, `kafka`, `archive`; unset: `clickhouse`, and `kafka` if KAFKA_BROKERS is set; ARCHIVE always adds `archive`',
    }),
  ),
  SINKS_ABANDON: list(
    'sinks that SINKS no longer names although they lack events of the journal; these are never delivered to them',
  ),
  ARCHIVE: optional(
    text(
      'keeps every event, compressed, for `bun run replay`: `s3://bucket/prefix` or a folder that exists',
      undefined,
      checks.archive,
    ),
  ),
  ARCHIVE_FLUSH_MS: integer(
    'time between two objects of the archive, ms',
    [60_000, 100, 3_600_000],
  ),

  CLICKHOUSE_URL: optional(
    secret(
      'http(s)://user:password@host:8123/database; unset runs the embedded ClickHouse',
      checks.clickhouseUrl,
    ),
  ),
  CLICKHOUSE_CLUSTER: optional(
    text('cluster name; creates tables ON CLUSTER with Replicated engines'),
  ),
  CLICKHOUSE_FLUSH_MS: integer('time between two inserts, ms', [1000, 10, 60_000]),
  CLICKHOUSE_ROWS_MAX: integer('rows of one insert', [50_000, 1, 1_000_000]),
  CLICKHOUSE_BYTES_MAX: integer('bytes of one insert', [64 * mib, mib, gib]),
  CLICKHOUSE_TIMEOUT_MS: integer('time limit of one insert, ms', [60_000, 100, 3_600_000]),
  EMBEDDED_CLICKHOUSE_PORT: integer(
    'port on 127.0.0.1 for read-only queries on the embedded ClickHouse; 0 = off',
    [8123, 0, 65535],
  ),
  EVENTS_COLUMNS: list('properties with a column of their own, comma-separated', checks.property),
  EVENTS_TTL_DAYS: integer('events are deleted after this many days; 0 = never', [0, 0, 36_500]),

  ...kafkaSettings,

  REDIS_URL: optional(
    secret(
      'redis(s)://…; several URLs, comma-separated, are nodes of one cluster; unset runs without Redis',
      checks.redisUrls,
    ),
  ),
  REDIS_TIMEOUT_MS: integer(
    'time limit of one call; after it the request continues without Redis, ms',
    [50, 1, 10_000],
  ),
  REDIS_PREFIX: text('prefix of every key', 'spillway'),

  AUTH_KEYS_FILE: optional(
    text('file of the signing keys (JWK set); the first key signs, all verify'),
  ),
  AUTH_ISSUER: text('`iss` and `aud` of tokens', 'spillway'),
  AUTH_ACCESS_SECONDS: integer('lifetime of an access token, seconds', [3600, 1, 86_400]),
  AUTH_REFRESH_SECONDS: integer('lifetime of a refresh token, seconds', [2_592_000, 1, 31_536_000]),
  AUTH_SESSION_SECONDS: integer(
    'time from a login until its refresh tokens end, however often they are renewed, seconds',
    [7_776_000, 1, 315_360_000],
  ),
  REALTIME_PORT: integer('port of Socket.IO if WORKERS is above 1', [3001, 0, 65535]),
  PUBLIC_URL: optional(
    text(
      'URL under which clients reach the server; unset uses the Host header, and turns off `/api/sdk/config` in production',
      undefined,
      checks.publicUrl,
    ),
  ),
  TLS_CERT_FILE: optional(text('certificate chain, PEM; together with TLS_KEY_FILE serves HTTPS')),
  TLS_KEY_FILE: optional(text('private key of the certificate, PEM')),
  WORKERS: integer(
    'HTTP processes on one port; above 1 needs REDIS_URL, and CLICKHOUSE_URL unless SINKS leaves out `clickhouse`',
    [1, 1, 256],
  ),
})

export type Config = Static<typeof settingsSchema> & { dataDir: string }

type OriginFaults = (origins: readonly string[]) => string[]

/**
 * Reads the settings from the environment. Throws SettingsError, which lists every fault.
 * `findOriginFaults` checks CORS_ORIGINS by the rule that the projects file has, too.
 */
export function loadConfig(
  environment: Environment,
  findOriginFaults: OriginFaults = () => [],
): { config: Config; warnings: string[] } {
  const { config, warnings, faults } = readConfig(environment, findOriginFaults)
  if (faults.length > 0) throw new SettingsError(faults)
  return { config, warnings }
}

/** The same with the faults beside. A faulty setting has its default. */
export function readConfig(environment: Environment, findOriginFaults: OriginFaults) {
  const { values, warnings, faults } = parseSettings(settingsSchema, environment)
  const config = values as Static<typeof settingsSchema>
  const originFaults = findOriginFaults(config.CORS_ORIGINS)
  faults.push(...originFaults.map((fault) => `CORS_ORIGINS ${fault}`))
  faults.push(...checks.findConflicts(environment), ...checks.findEqualPorts(config))
  const full: Config = { ...config, dataDir: resolve(config.DATA_DIR) }
  return { config: full, warnings, faults }
}
