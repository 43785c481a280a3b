import type { Log } from '../../core/log.ts'
import type { Authentication, Identities, Identity } from '../auth/identity.ts'
import { join } from './actions.ts'
import { notificationsTopic } from './channels.ts'
import { recover, toHolder } from './cluster.ts'
import type { RealtimeCounters } from './counters.ts'
import type { AuthErrorCode, Emitter } from './emitter.ts'
import type { Engine, TransportConnection } from './engine.ts'
import type { RealtimeLimits } from './limits.ts'
import { createMember, type Member, type Members, toConnection } from './members.ts'
import type { Io, IoSocket } from './protocol.ts'

/**
 * The room of all sockets of one session. No channel can have this name: it contains a space and no
 * colon.
 */
export const sessionRoom = (session: string) => `session ${session}`

/**
 * Authenticates each new socket and makes it a member. The contract reports a rejected token by an
 * event, so a rejected client is connected without any message listener, receives the event, and is
 * disconnected.
 */
export function authenticateSockets({
  io,
  auth,
  emitter,
  members,
  limits,
  engine,
  dispatch,
  counters,
  log,
}: {
  io: Io
  auth: Pick<Identities, 'authenticate'>
  emitter: Emitter
  members: Members
  limits: RealtimeLimits
  engine: Engine
  dispatch: (member: Member, event: string, args: readonly unknown[]) => void
  counters: RealtimeCounters
  log: Log
}): void {
  const outcomes = new WeakMap<IoSocket, Outcome>()
  const authenticated = new WeakSet<TransportConnection>()

  async function authenticate(credential: unknown): Promise<Outcome> {
    try {
      return await auth.authenticate(credential)
    } catch (error) {
      log.error({ error: String(error) }, 'cannot verify the token of a socket; the client retries')
      return { fault: 'unavailable' }
    }
  }

  function reject(socket: IoSocket, fault: AuthErrorCode): void {
    const connection = toConnection(socket)
    counters.incrementReason('refused', fault)
    log.info({ socket: socket.id, ip: engine.addressOf(connection), fault }, 'socket rejected')
    emitter.authError(socket, fault)
    // A client reconnects after its transport closed, but not after `disconnect`: it needs another
    // token first.
    if (fault === 'unavailable') connection.close()
    else socket.disconnect(true)
  }

  function admit(socket: IoSocket, identity: Identity): void {
    const ip = engine.addressOf(toConnection(socket))
    const member = createMember({ socket, identity, ip, limits })
    const { lost } = socket.data
    socket.data = { holder: toHolder(identity) }
    members.add(member)
    if (identity.session !== undefined) void socket.join(sessionRoom(identity.session))
    void socket.join(notificationsTopic)
    socket.onAny((event: string, ...args: unknown[]) => dispatch(member, event, args))
    socket.on('disconnect', (reason) => leave(member, String(reason)))
    catchUp(member, recover(identity, lost))
    log.info({ socket: socket.id, ip, [identity.kind]: identity.id }, 'socket connected')
  }

  function catchUp(member: Member, { topics, packets }: ReturnType<typeof recover>): void {
    for (const topic of topics) join(member, topic)
    for (const packet of packets) emitter.repeat(member.socket, packet)
  }

  function leave(member: Member, reason: string): void {
    authenticated.delete(member.connection)
    members.remove(member.socket.id)
    log.info({ socket: member.socket.id, ip: member.ip, reason }, 'socket disconnected')
  }

  io.use(async (socket, next) => {
    const connection = toConnection(socket)
    // One socket a connection: otherwise a client could request any number during the verification.
    if (authenticated.has(connection)) return next(new Error('already connected'))
    authenticated.add(connection)
    outcomes.set(socket, await authenticate(socket.handshake.auth.token))
    // Socket.IO keeps the handshake for the life of the socket. Do not keep the token.
    socket.handshake.auth = {}
    next()
  })
  io.on('connection', (socket) => {
    const outcome = outcomes.get(socket) ?? { fault: 'token_missing' }
    if ('identity' in outcome) admit(socket, outcome.identity)
    else reject(socket, outcome.fault)
  })
}

type Outcome = Authentication | { fault: 'unavailable' }
