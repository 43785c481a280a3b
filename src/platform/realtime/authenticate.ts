import type { Log } from '../../core/log.ts'
import type { Authentication, Identities, Identity } from '../auth/identity.ts'
import { join } from './actions.ts'
import { notificationsTopic } from './channels.ts'
import { recover, toHolder } from './cluster.ts'
import type { RealtimeCounters } from './counters.ts'
import { type AuthErrorCode, type Emitter, toAuthError } from './emitter.ts'
import type { Engine, TransportConnection } from './engine.ts'
import type { RealtimeLimits } from './limits.ts'
import { createMember, type Member, type Members, toConnection } from './members.ts'
import type { Io, IoSocket } from './messages.ts'

/**
 * The room of all sockets of one session. No channel can have this name: it contains a space and no
 * colon.
 */
export const sessionRoom = (session: string) => `session ${session}`

/**
 * Authenticates each new socket and makes it a member. The contract reports a rejected token by an
 * event, and clients handle events of a connected socket only. So a rejected client is sent the event,
 * is connected without any message listener, and is disconnected. A client that connects with
 * `auth: { connectError: true }` gets Socket.IO's `connect_error` instead.
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

  function note(connection: TransportConnection, fault: AuthErrorCode): void {
    counters.incrementReason('refused', fault)
    const ip = engine.addressOf(connection)
    log.info({ security: 'socket_rejected', socket: connection.id, ip, fault }, 'socket rejected')
  }

  function reject(socket: IoSocket, fault: AuthErrorCode): void {
    const connection = toConnection(socket)
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
    engine.admit(member.connection)
    void socket.join(sessionRoom(identity.session))
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
    const { token, connectError } = socket.handshake.auth
    const outcome = await authenticate(token)
    outcomes.set(socket, outcome)
    // Socket.IO keeps the handshake for the life of the socket. Do not keep the token.
    socket.handshake.auth = {}
    if ('identity' in outcome) return next()
    note(connection, outcome.fault)
    // Socket.IO's own refusal: the client gets `connect_error` and no other event.
    if (connectError === true) return next(toConnectError(outcome.fault))
    emitter.authErrorEarly(connection, outcome.fault)
    next()
  })
  io.on('connection', (socket) => {
    const outcome = outcomes.get(socket) ?? { fault: 'token_missing' }
    if ('identity' in outcome) admit(socket, outcome.identity)
    else reject(socket, outcome.fault)
  })
}

/** Socket.IO sends `data` to the client beside the message. */
function toConnectError(fault: AuthErrorCode): Error & { data: object } {
  const error = toAuthError(fault)
  return Object.assign(new Error(error.message), { data: error })
}

type Outcome = Authentication | { fault: 'unavailable' }
