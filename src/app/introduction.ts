import { version } from '../../package.json'
import type { Config } from '../config/config.ts'
import { toExampleToken } from '../console/snippets.ts'
import { sleep } from '../core/async.ts'
import { parseEnabledSinks } from '../delivery/create-sinks.ts'

type IntroductionOptions = {
  config: Config
  port: number
  /** Of the projects file, if it is loaded. */
  entries?: Parameters<typeof toExampleToken>[0]['entries']
  /** The port of the embedded ClickHouse's queries, if they are answered. */
  queryPort: number | undefined
}

/**
 * Resolves when the tables and topics of every sink exist, because the commands to try need them; or after
 * five seconds, because a sink that is down must not hide the addresses.
 */
export async function waitForSinks(health: () => Record<string, { state: string }>): Promise<void> {
  const endMs = performance.now() + sinksWaitMsMax
  while (Object.values(health()).some(({ state }) => state !== 'healthy')) {
    if (performance.now() > endMs) return
    await sleep(50, neverAborted)
  }
}

const sinksWaitMsMax = 5000
const neverAborted = new AbortController().signal

/** Addresses and commands for the first start: a table of a few plain lines, for a terminal. */
export function toIntroduction(options: IntroductionOptions): string {
  const { config } = options
  const token = toToken(options)
  const url = toUrl(config, options.port)
  const isEveryAddress = ['0.0.0.0', '::'].includes(config.HOST)
  const body = JSON.stringify({ api_key: token, event: 'hello', distinct_id: 'user-1' })
  // The certificate is rarely made for the address of this machine.
  const curl = config.TLS_CERT_FILE === undefined ? 'curl -s' : 'curl -sk'
  const rows = [
    ['Server', `${url}${isEveryAddress ? ' and the other addresses of this machine' : ''}`],
    ...(config.WORKERS > 1 ? [['Socket.IO', toUrl(config, config.REALTIME_PORT)]] : []),
    ['Console', toConsole(config, url)],
    ['Send an event', `${curl} ${url}/e/ -H 'Content-Type: application/json' -d '${body}'`],
    ['Query', toQuery(options)],
    ['Documentation', 'README.md, docs/'],
    ['Stop', 'Ctrl-C'],
  ]
  const lines = rows.map(([label = '', text]) => `  ${label.padEnd(15)}${text}`)
  return `\nSpillway ${version} is ready\n\n${lines.join('\n')}\n\n`
}

function toToken({ config, entries }: IntroductionOptions): string {
  const isUnknown = config.PROJECTS_FILE !== undefined && entries === undefined
  return isUnknown ? '<token of a project>' : toExampleToken({ entries: entries ?? [] })
}

type UrlSettings = { HOST: string; TLS_CERT_FILE?: string | undefined }

/** An address of this machine: the one of HOST, or loopback if the server listens on all. */
function toUrl({ HOST: host, TLS_CERT_FILE: certificate }: UrlSettings, port: number): string {
  const name = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[host] ?? toHostName(host)
  return `${certificate === undefined ? 'http' : 'https'}://${name}:${port}`
}

const toHostName = (host: string) => (host.includes(':') ? `[${host}]` : host)

function toConsole(config: Config, url: string): string {
  const { ADMIN_PORT: adminPort, ADMIN_TOKEN: adminToken, NODE_ENV: environment } = config
  // ADMIN_PORT serves no TLS.
  if (adminPort > 0) return `${toUrl({ HOST: config.HOST }, adminPort)}/console`
  const needed = adminToken ? 'ADMIN_TOKEN' : 'a token that has the permission `console`'
  return `${url}/console${environment === 'production' ? ` (asks for ${needed})` : ''}`
}

const firstQuery = 'SELECT timestamp, event, distinct_id FROM events'

function toQuery({ config, queryPort }: IntroductionOptions): string {
  if (!parseEnabledSinks(config).includes('clickhouse')) return 'off: SINKS names no ClickHouse'
  if (config.CLICKHOUSE_URL !== undefined) {
    const { protocol, host, pathname } = new URL(config.CLICKHOUSE_URL)
    return `the ClickHouse at ${protocol}//${host}${pathname}`
  }
  if (queryPort !== undefined)
    return `curl -s http://127.0.0.1:${queryPort}/ --data '${firstQuery}'`
  return config.EMBEDDED_CLICKHOUSE_PORT === 0
    ? 'off: EMBEDDED_CLICKHOUSE_PORT is 0'
    : 'off: a warning above says why'
}
