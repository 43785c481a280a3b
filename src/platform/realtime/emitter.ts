import { randomUUID } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { notificationsTopic } from './channels.ts'
import type { AuthFault } from './identity.ts'
import type { Announcement, ClientMessage, FaultCode } from './messages.ts'
import type { Ack, Io, IoSocket, Refusal, ServerEvents } from './protocol.ts'

/** Everything the server says, in the contract's words. */
export type Voice = {
  acknowledge(socket: IoSocket, ack: Ack): void
  refuse(socket: IoSocket, code: FaultCode, refusal: Refusal): void
  /** Passes a message on to all subscribers but its sender. */
  publish(socket: IoSocket, from: string, message: ClientMessage): void
  /** To everyone who reads notifications, but for `except`; `here` keeps it on this node. */
  announce(announcement: Announcement, options?: { except?: string; here?: boolean }): void
  /** Sends what was sent before, as a recovered connection missed it. */
  repeat(socket: IoSocket, packet: readonly unknown[]): void
  authError(socket: IoSocket, fault: AuthFault | 'unavailable'): void
  /** To every socket of a room, on every node. */
  authErrorIn(room: string, fault: AuthFault): void
}

export function createVoice({ io, now }: { io: Io; now: Clock }): Voice {
  /** Past the adapter of the cluster: what concerns one socket is no other node's business. */
  const to = (socket: IoSocket) => io.local.to(socket.id)

  return {
    acknowledge: (socket, ack) => void to(socket).emit('ack', ack),
    refuse: (socket, code, refusal) => void to(socket).emit(code, refusal),
    publish(socket, from, { topic, payload }) {
      const message = { id: randomUUID(), topic, type: 'event' as const, payload }
      socket.to(topic).emit('message', { ...message, timestamp: now(), from })
    },
    announce({ level, message }, { except, here = false } = {}) {
      const readers = here ? io.local.to(notificationsTopic) : io.to(notificationsTopic)
      const audience = except === undefined ? readers : readers.except(except)
      audience.emit('notification', {
        id: randomUUID(),
        type: 'notification',
        level,
        message,
        timestamp: now(),
      })
    },
    repeat(socket, [event, ...args]) {
      to(socket).emit(event as 'message', ...(args as Parameters<ServerEvents['message']>))
    },
    authError: (socket, fault) => void to(socket).emit('auth_error', toAuthError(fault)),
    authErrorIn: (room, fault) => void io.to(room).emit('auth_error', toAuthError(fault)),
  }
}

const sentences = {
  token_missing: 'a token is needed',
  token_invalid: 'the token is invalid',
  token_expired: 'the token has expired',
  token_revoked: 'the token was revoked',
  unavailable: 'the token could not be judged, try again shortly',
} as const satisfies Record<AuthFault | 'unavailable', string>

function toAuthError(fault: keyof typeof sentences): Parameters<ServerEvents['auth_error']>[0] {
  return { code: fault, message: sentences[fault] }
}
