import { readFileSync } from 'node:fs'
import type { QueryServerOptions } from '../../../src/embedded/query-api/server.ts'
import { temporaryFolder } from '../../support/folder.ts'

/** The embedded ClickHouse in a process of its own, with both interfaces: see host.ts. */
export type QueryServers = {
  /** `http://127.0.0.1:port/` of each interface. */
  writable: string
  readOnly: string
  folder: string
  /** Sends a line to the host and awaits its reply. */
  ask(line: 'sync' | 'stop'): Promise<string>
  residentBytes(): number
  stop(): Promise<void>
}

export async function startQueryServers(
  limits: Partial<QueryServerOptions> = {},
): Promise<QueryServers> {
  const folder = temporaryFolder()
  const command = [
    process.execPath,
    `${import.meta.dir}/host.ts`,
    folder.path,
    JSON.stringify(limits),
  ]
  const host = Bun.spawn(command, { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' })
  const lines = toLines(host.stdout)
  const readLine = async () => (await lines.next()).value ?? ''
  const ports = JSON.parse(await readLine()) as { writable: number; readOnly: number }

  async function ask(line: string): Promise<string> {
    host.stdin.write(`${line}\n`)
    await host.stdin.flush()
    return readLine()
  }
  return {
    writable: `http://127.0.0.1:${ports.writable}/`,
    readOnly: `http://127.0.0.1:${ports.readOnly}/`,
    folder: folder.path,
    ask,
    residentBytes() {
      const status = readFileSync(`/proc/${host.pid}/status`, 'utf8')
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
    },
    async stop() {
      await ask('stop')
      await host.exited
      folder[Symbol.dispose]()
    },
  }
}

export type Answer = { status: number; code: string | null; text: string; headers: Headers }

/** Sends a statement as a body, and `search` in the URL. */
export async function query(
  base: string,
  sql: string,
  { search = {}, ...init }: RequestInit & { search?: Record<string, string> } = {},
): Promise<Answer> {
  const url = `${base}?${new URLSearchParams(search)}`
  const reply = await fetch(url, { method: 'POST', body: sql, ...init })
  const code = reply.headers.get('x-clickhouse-exception-code')
  return { status: reply.status, code, text: await reply.text(), headers: reply.headers }
}

async function* toLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const piece of stream) {
    const lines = (text + decoder.decode(piece, { stream: true })).split('\n')
    text = lines.pop() ?? ''
    yield* lines
  }
}
