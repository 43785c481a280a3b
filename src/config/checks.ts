import { existsSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Environment } from './environment.ts'

/**
 * Checks of settings whose type is narrower than text. Each returns what the value has to be, or
 * undefined if it is that.
 */
export type Check = (value: string) => string | undefined

const expecting =
  (expected: string, isValid: (value: string) => boolean): Check =>
  (value) =>
    isValid(value) ? undefined : expected

/** Undefined if the text is no URL. */
function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined
}

function isHttp(text: string): boolean {
  const url = parseUrl(text)
  return url !== undefined && /^https?:$/.test(url.protocol) && url.hostname !== ''
}

export const clickhouseUrl = expecting(
  'a URL such as http://user:password@host:8123/database',
  (text) => isHttp(text) && /^\/[^/]*$/.test(new URL(text).pathname),
)

export const publicUrl = expecting(
  'a URL such as https://events.example.com, without user, query and fragment',
  (text) => isHttp(text) && !/[@?#]/.test(text),
)

/** Several nodes of a cluster are separated by commas. */
export const redisUrls = expecting('a URL such as redis://host:6379, or several of them', (text) =>
  text.split(',').every((part) => {
    const url = parseUrl(part.trim())
    return url !== undefined && /^rediss?:$/.test(url.protocol) && url.hostname !== ''
  }),
)

export const archive = expecting(
  's3://bucket/prefix or the path of a folder',
  (text) => !/^[a-z\d]+:/i.test(text) || /^s3:\/\/[a-z\d][a-z\d.-]+(?:\/[\w.=/-]*)?$/.test(text),
)

/** Part of a column's name. */
export const property = expecting(
  'the name of a property of at most 64 letters, digits, _ $ . and -',
  (text) => /^[\w$.-]{1,64}$/.test(text),
)

export const broker = expecting('host:port', (text) => {
  const [, port] = /^(?:[\w.-]+|\[[\da-f:.]+\]):(\d{1,5})$/i.exec(text) ?? []
  return port !== undefined && Number(port) > 0 && Number(port) <= 65_535
})

/** An address, or a range as address and prefix length. */
export const addressRange = expecting('an IP address or a range such as 10.0.0.0/8', (text) => {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  if (prefix === undefined) return true
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128)
})

export const host = expecting('an IP address or a host name', (text) => {
  if (isIP(text) !== 0) return true
  const labels = text.split('.')
  // Digits and dots only would be a mistyped address.
  return !/^[\d.]+$/.test(text) && labels.every((label) => /^[a-z\d_](?:[\w-]{0,62})$/i.test(label))
})

/** The compiler compares the list with the parts that exist: `app/enrichment.ts`. */
export const enrichPartNames = ['user_agent', 'geo', 'bots', 'utm'] as const

export const enrichPart = expecting(`one of ${enrichPartNames.join(', ')}`, (text) =>
  (enrichPartNames as readonly string[]).includes(text),
)

/** The vendor's HTML snippet loads `array.js`; every version has it. */
export const scriptFolder = expecting(
  'the dist folder of posthog-js, such as node_modules/posthog-js/dist',
  (path) => existsSync(join(path, 'array.js')),
)

const tokenCharsMin = 16

export const adminToken = expecting(
  `at least ${tokenCharsMin} characters without white space`,
  (text) => text.length >= tokenCharsMin && /^[!-~]+$/.test(text),
)

const worksAlone: Record<string, string> = {
  CLICKHOUSE_URL: 'only one process can open the embedded ClickHouse',
  REDIS_URL: 'processes share dedup keys, limits and realtime rooms through Redis',
}

/** Settings that need each other. */
export function findConflicts(environment: Environment): string[] {
  const { TLS_CERT_FILE, TLS_KEY_FILE, WORKERS = '1', SINKS } = environment
  const faults: string[] = []
  if (!TLS_CERT_FILE !== !TLS_KEY_FILE) faults.push('TLS_CERT_FILE and TLS_KEY_FILE go together')
  if (!/^\d+$/.test(WORKERS) || Number(WORKERS) === 1) return faults
  const isWithoutClickHouse = Boolean(SINKS) && !SINKS!.includes('clickhouse')
  for (const [name, reason] of Object.entries(worksAlone)) {
    const isNeeded = name !== 'CLICKHOUSE_URL' || !isWithoutClickHouse
    if (isNeeded && !environment[name]) faults.push(`WORKERS=${WORKERS} needs ${name}: ${reason}`)
  }
  return faults
}

type Ports = { PORT: number; ADMIN_PORT: number; REALTIME_PORT: number; WORKERS: number }

/** 0 is no fixed port. Only several workers have the port of Socket.IO. */
export function findEqualPorts({ PORT, ADMIN_PORT, REALTIME_PORT, WORKERS }: Ports): string[] {
  const ports = Object.entries({ PORT, ADMIN_PORT, ...(WORKERS > 1 ? { REALTIME_PORT } : {}) })
  return ports.flatMap(([name, port], at) => {
    const [other] = ports.slice(0, at).find(([, taken]) => port > 0 && taken === port) ?? []
    return other === undefined ? [] : [`${name} "${port}" is the port of ${other}; set another one`]
  })
}
