import { join } from 'node:path'
import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client'
import { logLines } from '../../support/log-lines.ts'
import type { Spillway } from '../../support/spillway.ts'

export type Tokens = {
  access_token: string
  token_type: string
  expires_in: number
  refresh_token?: string
  scope: string[]
}

/** Sends a token request, as JSON or as a form. */
export async function askToken(
  url: string,
  fields: Record<string, unknown>,
  { path = '/api/auth/token', form = false, headers = {} } = {},
): Promise<{ status: number; body: Tokens & { error?: string }; headers: Headers }> {
  const body = form
    ? new URLSearchParams(fields as Record<string, string>).toString()
    : JSON.stringify(fields)
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json'
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': type, ...headers },
    body,
  })
  return {
    status: response.status,
    body: (await response.json()) as never,
    headers: response.headers,
  }
}

/** The first client, which the server logs at start. */
export function firstClientOf(server: Pick<Spillway, 'log'>): { id: string; secret: string } {
  const logged = logLines(server).find((line) => 'client_secret' in line)
  return { id: String(logged?.client_id), secret: String(logged?.client_secret) }
}

export async function firstToken(
  server: Pick<Spillway, 'log' | 'url'>,
  fields: Record<string, unknown> = {},
): Promise<Tokens> {
  const { id, secret } = firstClientOf(server)
  const grant = { grant_type: 'client_credentials', client_id: id, client_secret: secret }
  const { status, body } = await askToken(server.url, { ...grant, ...fields })
  if (status !== 200) throw new Error(`no token: ${JSON.stringify(body)}`)
  return body
}

export type Clients = {
  connect(url: string, token: string, options?: Partial<ManagerOptions & SocketOptions>): Socket
  [Symbol.dispose](): void
}

/** socket.io-client with the options of an SDK. Disconnects at the end of the test. */
export function createClients(): Clients {
  const clients: Socket[] = []
  return {
    connect(url, token, options = {}) {
      const socket = io(url, {
        auth: { token: `Bearer ${token}` },
        forceNew: true,
        reconnectionDelay: 50,
        reconnectionDelayMax: 200,
        ...options,
      })
      clients.push(socket)
      return socket
    },
    [Symbol.dispose]() {
      for (const client of clients) client.disconnect()
    },
  }
}

const root = join(import.meta.dir, '../../..')

/**
 * Runs a script of this repository to its end. It inherits only PATH from this process's
 * environment.
 */
export async function run(
  command: readonly string[],
  { environment = {}, input = '' }: { environment?: Record<string, string>; input?: string } = {},
): Promise<{ exitCode: number; output: string; errors: string }> {
  const child = Bun.spawn([process.execPath, ...command], {
    cwd: root,
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdin: new Blob([input]),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { exitCode, output, errors }
}
