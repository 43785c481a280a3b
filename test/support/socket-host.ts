import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client'
import { silentLog } from '../../src/core/log.ts'
import type { Authentication, Identity } from '../../src/platform/auth/identity.ts'
import type { TokenFault } from '../../src/platform/auth/tokens.ts'
import type { EngineData } from '../../src/platform/realtime/engine.ts'
import {
  createRealtime,
  type Realtime,
  type RealtimeOptions,
} from '../../src/platform/realtime/realtime.ts'
import { until } from './until.ts'

/** Identities by token. A token without an entry is invalid. */
export type Guests = Record<string, Partial<Identity> | TokenFault>

export type SocketHost = {
  realtime: Realtime
  url: string
  port: number
  clock: { nowMs: number }
  guests: Guests
  /** A client that is not connected yet. */
  client(token: unknown, options?: Partial<ManagerOptions & SocketOptions>): Socket
  /** A client that is connected and authenticated. */
  connected(token: unknown, options?: Partial<ManagerOptions & SocketOptions>): Promise<Socket>
  /** Stops the server and leaves the clients running. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type HostOptions = Partial<RealtimeOptions> & { port?: number; guests?: Guests }

/** Realtime on its own HTTP server. */
export function startHost({ port = 0, guests = {}, ...options }: HostOptions = {}): SocketHost {
  const clock = { nowMs: Date.now() }
  const realtime = createRealtime({
    auth: {
      authenticate: async (credential) => toOutcome(guests[String(credential)], clock.nowMs),
      isCurrent: () => true,
    },
    isAllowedOrigin: () => true,
    clientIp: (request, server) => server.requestIP(request)?.address ?? '',
    waitSeconds: () => 0,
    log: silentLog,
    now: () => clock.nowMs,
    ...options,
    limits: { sweepMs: 20, ...options.limits },
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

  function client(token: unknown, socketOptions: Partial<ManagerOptions & SocketOptions> = {}) {
    const socket = io(url, {
      auth: { token },
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 50,
      randomizationFactor: 0,
      ...socketOptions,
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

/** A valid identity for one hour of the test's clock. */
export function toIdentity(changes: Partial<Identity>, nowMs = 0): Identity {
  return {
    kind: 'user',
    id: 'u1',
    clientId: 'shop',
    email: undefined,
    name: undefined,
    permissions: [],
    expiresAtMs: nowMs + 3_600_000,
    session: 'session',
    generation: 'generation',
    keyId: 'key',
    ...changes,
  }
}

function toOutcome(guest: Guests[string] | undefined, nowMs: number): Authentication {
  if (guest === undefined) return { fault: 'token_invalid' }
  if (typeof guest === 'string') return { fault: guest }
  return { identity: toIdentity(guest, nowMs) }
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

/** Sends a message and returns its ack. */
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
