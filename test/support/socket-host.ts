import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client'
import { silentLog } from '../../src/core/log.ts'
import type { EngineData } from '../../src/platform/realtime/engine.ts'
import type { AuthFault, Identity } from '../../src/platform/realtime/identity.ts'
import {
  createRealtime,
  type Realtime,
  type RealtimeParts,
} from '../../src/platform/realtime/realtime.ts'
import { until } from './until.ts'

/** Identities by token; a token that is not there is invalid. */
export type Guests = Record<string, Partial<Identity> | AuthFault>

export type SocketHost = {
  realtime: Realtime
  url: string
  port: number
  clock: { nowMs: number }
  guests: Guests
  /** A client that is not connected yet. */
  client(token: unknown, options?: Partial<ManagerOptions & SocketOptions>): Socket
  /** A client that was let in. */
  connected(token: unknown, options?: Partial<ManagerOptions & SocketOptions>): Promise<Socket>
  /** Ends the server and leaves the clients to themselves. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type HostOptions = Partial<RealtimeParts<Identity>> & { port?: number; guests?: Guests }

/** Realtime on a bare server of its own, mounted as the real one does it. */
export function startHost({ port = 0, guests = {}, ...parts }: HostOptions = {}): SocketHost {
  const clock = { nowMs: Date.now() }
  const realtime = createRealtime<Identity>({
    gate: {
      authenticate: async (credential) => toOutcome(guests[String(credential)], clock.nowMs),
      isCurrent: () => true,
    },
    isAllowedOrigin: () => true,
    clientIp: (request, server) => server.requestIP(request)?.address ?? '',
    waitSeconds: () => 0,
    log: silentLog,
    now: () => clock.nowMs,
    ...parts,
    limits: { sweepMs: 20, ...parts.limits },
  })
  const server = Bun.serve<EngineData>({
    port,
    hostname: '127.0.0.1',
    idleTimeout: 30,
    fetch: (request, bun) =>
      new URL(request.url).pathname === '/socket.io/'
        ? realtime.handleRequest(request, bun)
        : new Response('other', { status: 404 }),
    websocket: realtime.websocket,
  })
  const url = `http://127.0.0.1:${server.port}`
  const clients: Socket[] = []

  async function stop() {
    await realtime.close()
    await server.stop(true)
  }

  function client(token: unknown, options: Partial<ManagerOptions & SocketOptions> = {}) {
    const socket = io(url, {
      auth: { token },
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 50,
      randomizationFactor: 0,
      ...options,
    })
    clients.push(socket)
    return socket
  }

  return {
    realtime,
    url,
    port: server.port!,
    clock,
    guests,
    client,
    async connected(token, options) {
      const socket = client(token, options)
      await until(() => socket.connected, { what: 'the connection' })
      return socket
    },
    stop,
    async [Symbol.asyncDispose]() {
      for (const socket of clients) socket.disconnect()
      await stop()
    },
  }
}

function toOutcome(guest: Guests[string] | undefined, nowMs: number) {
  if (guest === undefined) return { fault: 'token_invalid' as const }
  if (typeof guest === 'string') return { fault: guest }
  const identity: Identity = {
    kind: 'user',
    id: 'u1',
    permissions: [],
    expiresAtMs: nowMs + 3_600_000,
    session: undefined,
    ...guest,
  }
  return { identity }
}

/** The next event of that name. */
export function next<T = Record<string, unknown>>(socket: Socket, event: string): Promise<T> {
  return new Promise((resolve) => socket.once(event, resolve))
}

/** All events of that name from now on. */
export function collect<T = Record<string, unknown>>(socket: Socket, event: string): T[] {
  const events: T[] = []
  socket.on(event, (body: T) => void events.push(body))
  return events
}

let ids = 0

/** Sends a message and gives its ack. */
export async function send(
  socket: Socket,
  event: string,
  data: Record<string, unknown>,
): Promise<{ id: string; type: string; status: string; error?: string }> {
  ids += 1
  const messageId = `m${ids}`
  return await new Promise((resolve) => {
    const listener = (ack: { id: string; type: string; status: string }) => {
      if (ack.id !== messageId) return
      socket.off('ack', listener)
      resolve(ack)
    }
    socket.on('ack', listener)
    socket.emit(event, { messageId, timestamp: Date.now(), ...data })
  })
}
