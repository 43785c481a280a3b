import type { Log } from '../../core/log.ts'
import type { Voice } from './emitter.ts'
import type { Engine } from './engine.ts'
import type { Member } from './member.ts'
import type { Tally } from './tally.ts'

/** Why the server ends a live socket. */
export type End = 'token_expired' | 'token_revoked' | 'flood' | 'heartbeat_missed' | 'slow'

/**
 * Ends a socket. A client that was disconnected stays away until its user acts; one whose connection was cut comes
 * back by itself, which is right for a line that failed and wrong for a token that did.
 */
export function createEnding({
  engine,
  voice,
  tally,
  log,
}: {
  engine: Engine
  voice: Voice
  tally: Tally
  log: Log
}): (member: Member, why: End) => void {
  return (member, why) => {
    const { socket, connection, ip } = member
    tally.note('ended', why)
    log.warn({ socket: socket.id, ip, why }, 'socket ended')
    if (why === 'slow' || why === 'heartbeat_missed') return engine.cut(connection)
    if (why !== 'flood') voice.authError(socket, why)
    socket.disconnect(true)
  }
}
