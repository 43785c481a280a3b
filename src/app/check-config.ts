import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { createSecureContext } from 'node:tls'
import { type Config, readConfig } from '../config/config.ts'
import type { Environment } from '../config/environment.ts'
import { findOriginFaults } from '../core/cors.ts'
import type { SinkName } from '../core/sink.ts'
import type { ServiceProbe } from '../core/version.ts'
import { parseEnabledSinks } from '../delivery/create-sinks.ts'
import { openGeo } from '../ingest/enrich/geo.ts'
import { importKeySet, keysFileMissing } from '../platform/auth/keys.ts'
import { withoutKeys } from '../platform/auth/without-keys.ts'
import { ProjectsFileError, parseProjectsFile } from '../projects/file.ts'
import { probeRedis } from '../redis/probe.ts'
import { loadTls } from './listener.ts'

export type ConfigReport = {
  /** One line for each fault, with its cure. */
  faults: string[]
  warnings: string[]
  /** One line for each check that found no fault. */
  found: string[]
}

/** Each service gets this long to answer. */
const probeMs = 5000

/**
 * Finds all faults of the settings, the files that they name, and the services. Starts nothing and
 * writes nothing.
 */
export async function checkConfig(environment: Environment): Promise<ConfigReport> {
  const { config, warnings, faults } = readConfig(environment, findOriginFaults)
  const report: ConfigReport = { faults, warnings, found: [] }
  const sinks = attempt(report, () => parseEnabledSinks(config)) ?? []
  const hasClients = checkProjects(report, config)
  checkGeo(report, config)
  checkCertificate(report, config)
  await checkKeys(report, config, hasClients)
  checkFolder(report, config)
  await checkServices(report, config, sinks)
  return report
}

const toCount = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`

/** An error becomes a fault. */
function attempt<T>({ faults }: ConfigReport, work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    const { message } = error as Error
    if (!faults.includes(message)) faults.push(message)
    return undefined
  }
}

/** Returns whether there are clients. */
function checkProjects(report: ConfigReport, { PROJECTS_FILE: path }: Config): boolean {
  if (path === undefined) return false
  try {
    const { projects, clients } = parseProjectsFile(readFileSync(path, 'utf8'), path)
    report.found.push(`PROJECTS_FILE ${path}: ${toCount(projects.length, 'project')}`)
    return clients.length > 0
  } catch (error) {
    const reasons = error instanceof ProjectsFileError ? error.faults : [(error as Error).message]
    report.faults.push(...reasons.map((reason) => `PROJECTS_FILE ${path}: ${reason}`))
    return false
  }
}

/** A start with such a file takes events without places, so the check is the place to find it. */
function checkGeo(report: ConfigReport, { GEOIP_FILE: path }: Config): void {
  if (path === undefined) return
  try {
    const file = readFileSync(path)
    const bytes = new SharedArrayBuffer(file.length)
    new Uint8Array(bytes).set(file)
    const { databaseType, buildEpoch } = openGeo(bytes).metadata
    report.found.push(`GEOIP_FILE ${path}: ${databaseType} of ${buildEpoch.toISOString()}`)
  } catch (error) {
    report.faults.push(`GEOIP_FILE ${path} cannot be used: ${(error as Error).message}`)
  }
}

function checkCertificate(report: ConfigReport, config: Config): void {
  const pair = attempt(report, () => loadTls(config))
  if (pair === undefined) return
  try {
    createSecureContext(pair)
    report.found.push(`TLS_CERT_FILE ${config.TLS_CERT_FILE} fits TLS_KEY_FILE`)
  } catch (error) {
    const { message } = error as Error
    report.faults.push(
      `TLS_CERT_FILE ${config.TLS_CERT_FILE} and TLS_KEY_FILE ${config.TLS_KEY_FILE} cannot be used together: ${message}`,
    )
  }
}

async function checkKeys(report: ConfigReport, config: Config, hasClients: boolean): Promise<void> {
  const { AUTH_KEYS_FILE: path, NODE_ENV: environment } = config
  if (path === undefined) {
    if (environment !== 'production') return
    if (hasClients) report.faults.push(keysFileMissing)
    else report.warnings.push(withoutKeys)
    return
  }
  try {
    const keys = await importKeySet(readFileSync(path, 'utf8'))
    report.found.push(`AUTH_KEYS_FILE ${path}: ${toCount(keys.size, 'key')}`)
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message
    report.faults.push(
      `AUTH_KEYS_FILE ${path} holds no signing keys: ${reason}; make one with \`bun run make-key --out keys.json\``,
    )
  }
}

/** The folder itself is made by the start. */
function checkFolder(report: ConfigReport, { dataDir, JOURNAL_MAX_BYTES: journalBytes }: Config) {
  let folder = dataDir
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  try {
    if (!statSync(folder).isDirectory()) throw new Error(`${folder} is not a folder`)
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    report.faults.push(`DATA_DIR ${dataDir} cannot be used: ${(error as Error).message}`)
    return
  }
  report.found.push(`DATA_DIR ${dataDir}`)
  const { bavail, bsize } = statfsSync(folder)
  const freeBytes = bavail * bsize
  if (freeBytes < journalBytes)
    report.warnings.push(
      `DATA_DIR ${dataDir} has ${toGib(freeBytes)} free, less than JOURNAL_MAX_BYTES (${toGib(journalBytes)}); the disk would be full first`,
    )
}

const toGib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)}GiB`

async function checkServices(report: ConfigReport, config: Config, sinks: readonly SinkName[]) {
  const { CLICKHOUSE_URL: url, CLICKHOUSE_CLUSTER: cluster, REDIS_URL: redisUrl } = config
  const probes: Promise<[string, ServiceProbe]>[] = []
  const add = (setting: string, probe: Promise<ServiceProbe>) =>
    probes.push(probe.then((outcome) => [setting, outcome]))
  // A process without one of these sinks loads nothing of it.
  if (sinks.includes('clickhouse') && url !== undefined) {
    const { probeClickHouse } = await import('../delivery/clickhouse/probe.ts')
    add('CLICKHOUSE_URL', probeClickHouse({ url, cluster, timeoutMs: probeMs }))
  }
  if (sinks.includes('kafka')) {
    const { probeKafka } = await import('../delivery/kafka/probe.ts')
    add('KAFKA_BROKERS', probeKafka(config, probeMs))
  }
  if (sinks.includes('archive')) {
    const { probeArchive } = await import('../delivery/archive/probe.ts')
    add('ARCHIVE', probeArchive(config, probeMs))
  }
  if (redisUrl !== undefined) add('REDIS_URL', probeRedis(redisUrl, probeMs))
  for (const [setting, outcome] of await Promise.all(probes)) {
    if ('fault' in outcome) report.faults.push(`${setting} ${outcome.fault}`)
    else report.found.push(`${setting}: ${services[setting]} ${outcome.version}`)
  }
}

const services: Record<string, string> = {
  CLICKHOUSE_URL: 'ClickHouse',
  KAFKA_BROKERS: 'Kafka',
  ARCHIVE: 'archive',
  REDIS_URL: 'Redis',
}
