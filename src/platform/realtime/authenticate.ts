import type { Log } from '../../core/log.ts'
import { join } from './actions.ts'
import { notificationsTopic } from './channels.ts'
import type { Voice } from './emitter.ts'
import type { Connection, Engine } from './engine.ts'
import type { AuthFault, Gate, Identity } from './identity.ts'
import type { RealtimeLimits } from './limits.ts'
import { createMember, type Member, toConnection, toHolder } from './member.ts'
import type { Members } from './members.ts'
import type { Io, IoSocket } from './protocol.ts'
import { recover } from './recovery.ts'
import type { Tally } from './tally.ts'

/** The room of a session's sockets. No channel's name can be equal. */
export const sessionRoom = (session: string) => `session ${session}`

/**
 * Lets sockets in. A client whose token is refused is told by an event, as the contract wants: so it is connected
 * just for that, with no listener that could hear it, and then disconnected.
 */
export function createReception<I extends Identity>({
  io,
  gate,
  voice,
  members,
  limits,
  engine,
  converse,
  tally,
  log,
}: {
  io: Io
  gate: Gate<I>
  voice: Voice
  members: Members<I>
  limits: RealtimeLimits
  engine: Engine
  converse: (member: Member<I>, event: string, args: readonly unknown[]) => void
  tally: Tally
  log: Log
}): void {
  const outcomes = new WeakMap<IoSocket, Outcome<I>>()
  const received = new WeakSet<Connection>()

  async function judge(credential: unknown): Promise<Outcome<I>> {
    try {
      return await gate.authenticate(credential)
    } catch (error) {
      log.error({ error: String(error) }, 'a socket could not be authenticated')
      return { fault: 'unavailable' }
    }
  }

  function refuse(socket: IoSocket, fault: Fault): void {
    const connection = toConnection(socket)
    tally.note('refused', fault)
    log.info({ socket: socket.id, ip: engine.addressOf(connection), fault }, 'socket refused')
    voice.authError(socket, fault)
    // A client that was disconnected stays away until it has another token; one that lost its line comes back.
    if (fault === 'unavailable') connection.close()
    else socket.disconnect(true)
  }

  function admit(socket: IoSocket, identity: I): void {
    const ip = engine.addressOf(toConnection(socket))
    const member = createMember({ socket, identity, ip, limits })
    const { lost } = socket.data
    socket.data = { holder: toHolder(identity) }
    members.add(member)
    if (identity.session !== undefined) void socket.join(sessionRoom(identity.session))
    void socket.join(notificationsTopic)
    socket.onAny((event: string, ...args: unknown[]) => converse(member, event, args))
    socket.on('disconnect', (reason) => leave(member, String(reason)))
    catchUp(member, recover(identity, lost))
    log.info({ socket: socket.id, ip, [identity.kind]: identity.id }, 'socket connected')
  }

  function catchUp(member: Member<I>, { topics, packets }: ReturnType<typeof recover>): void {
    for (const topic of topics) join(member, topic)
    for (const packet of packets) voice.repeat(member.socket, packet)
  }

  function leave(member: Member<I>, reason: string): void {
    received.delete(member.connection)
    members.remove(member.socket.id)
    log.info({ socket: member.socket.id, ip: member.ip, reason }, 'socket disconnected')
  }

  io.use(async (socket, next) => {
    const connection = toConnection(socket)
    // While one is being judged, a client could ask for many more on the same connection.
    if (received.has(connection)) return next(new Error('already connected'))
    received.add(connection)
    outcomes.set(socket, await judge(socket.handshake.auth.token))
    socket.handshake.auth = {}
    next()
  })
  io.on('connection', (socket) => {
    const outcome = outcomes.get(socket) ?? { fault: 'token_missing' }
    if ('identity' in outcome) admit(socket, outcome.identity)
    else refuse(socket, outcome.fault)
  })
}

type Fault = AuthFault | 'unavailable'
type Outcome<I> = { identity: I } | { fault: Fault }
