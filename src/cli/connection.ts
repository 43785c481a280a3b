import { type Config, loadConfig } from '../config/config.ts'
import { findOriginFaults } from '../core/cors.ts'
import { toSafe } from '../core/printable.ts'

/**
 * The connection of a command to a running server. The address is `--url`, SPILLWAY_URL, or this
 * machine with ADMIN_PORT or PORT. The token is ADMIN_TOKEN: an argument could be read in the list
 * of processes.
 */
export type ServerConnection = {
  read(path: string, parameters?: Parameters): Promise<Document>
  send(path: string, body: object): Promise<Document>
  /** The lines of a reply, as they arrive. */
  readLines(path: string, asked: { parameters?: Parameters; body?: object }): AsyncGenerator<string>
}

type Parameters = Readonly<Record<string, string | undefined>>

// biome-ignore lint/suspicious/noExplicitAny: documents of many shapes, which are printed.
export type Document = any

export const connectionOptions = {
  url: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

export function connect(url: string | undefined): ServerConnection {
  const base = toBase(url)
  const token = process.env.ADMIN_TOKEN
  const authorization = token ? { authorization: `Bearer ${token}` } : undefined

  async function ask(
    path: string,
    { parameters = {}, body }: { parameters?: Parameters; body?: object },
  ) {
    const set = Object.entries(parameters).filter(([, value]) => value !== undefined)
    const query = new URLSearchParams(Object.fromEntries(set) as Record<string, string>)
    const sent = body && { method: 'POST', body: JSON.stringify(body) }
    const type = body && { 'content-type': 'application/json' }
    const response = await fetch(`${base}/console/api/${path}?${query}`, {
      headers: { ...authorization, ...type },
      ...sent,
    }).catch((error) => {
      const { code = '', message } = error as { code?: string; message: string }
      throw new CommandError(`cannot reach ${base}: ${message}; ${toRemedy(code)}`)
    })
    if (!response.ok) throw await toFailure(response, base)
    return response
  }

  return {
    read: async (path, parameters = {}) => await (await ask(path, { parameters })).json(),
    send: async (path, body) => await (await ask(path, { body })).json(),
    async *readLines(path, asked) {
      const response = await ask(path, asked)
      const decoder = new TextDecoder()
      let rest = ''
      for await (const chunk of response.body ?? []) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
        rest = lines.pop() ?? ''
        yield* lines
      }
    },
  }
}

function toBase(given: string | undefined): string {
  const base = given ?? process.env.SPILLWAY_URL ?? toLocal(process.env)
  if (/^https?:\/\//i.test(base) && URL.canParse(base)) return base.replace(/\/$/, '')
  throw new CommandError(`${base} is not a URL, such as http://127.0.0.1:3000`, usageExitCode)
}

/** Where the embedded ClickHouse of a server on this machine answers. */
export const toQueryUrl = () => `http://127.0.0.1:${process.env.EMBEDDED_CLICKHOUSE_PORT || 8123}`

/** ADMIN_PORT serves no TLS. */
function toLocal({ ADMIN_PORT: adminPort, PORT: port, TLS_CERT_FILE: certificate }: Settings) {
  const isSet = (one: string | undefined) => one && one !== '0'
  if (isSet(adminPort)) return `http://127.0.0.1:${adminPort}`
  return `${certificate ? 'https' : 'http'}://127.0.0.1:${isSet(port) ? port : 3000}`
}

type Settings = Readonly<Record<string, string | undefined>>

const toRemedy = (code: string) =>
  /CERT|TLS|SSL|ISSUER/.test(code)
    ? 'give the name of the certificate with --url, and the file of its authority with NODE_EXTRA_CA_CERTS'
    : 'set --url or SPILLWAY_URL'

async function toFailure(response: Response, base: string): Promise<CommandError> {
  const text = await response.text()
  try {
    const { detail, error } = JSON.parse(text)
    const hint = response.status === 401 ? '; set ADMIN_TOKEN' : ''
    const exitCode = error === 'invalid_query' ? usageExitCode : 1
    return new CommandError(
      `${base} answered ${response.status} ${error}: ${detail}${hint}`,
      exitCode,
    )
  } catch {
    return new CommandError(`${base} answered ${response.status}; is it a Spillway server?`)
  }
}

/** The settings of the server, for a command that does a part of its work. */
export const loadServerConfig = (): Config => loadConfig(process.env, findOriginFaults).config

/** For the person who called: its message is all they need. */
export class CommandError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.name = 'CommandError'
    this.exitCode = exitCode
  }
}

export const usageExitCode = 64

/** Runs a command: prints its usage for `--help` and for wrong arguments, and the message of a failure. */
export async function runCommand(usage: string, run: () => Promise<void>): Promise<never> {
  if (process.argv.slice(2).includes('--help')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    await run()
    process.exit(0)
  } catch (error) {
    const { message = String(error), code } = error as Partial<NodeJS.ErrnoException>
    const isUsage = code?.startsWith('ERR_PARSE_ARGS') === true
    console.error(toSafe(isUsage ? `${message}\n\n${usage}` : message))
    process.exit(isUsage ? usageExitCode : error instanceof CommandError ? error.exitCode : 1)
  }
}

export const usageFault = (message: string, usage: string) =>
  new CommandError(`${message}\n\n${usage}`, usageExitCode)

export const toTime = (ms: number | null) => (ms === null ? '-' : new Date(ms).toISOString())
