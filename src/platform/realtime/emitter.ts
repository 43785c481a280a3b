import { randomUUID } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import type { TokenFault } from '../auth/tokens.ts'
import { notificationsTopic } from './channels.ts'
import type { TransportConnection } from './engine.ts'
import type {
  Ack,
  Announcement,
  ClientMessage,
  ErrorBody,
  FaultCode,
  Io,
  IoSocket,
  ServerEvents,
} from './messages.ts'
/** Sends every event from server to client. */
export type Emitter = {
  acknowledge(socket: IoSocket, ack: Ack): void
  reject(socket: IoSocket, code: FaultCode, error: ErrorBody): void
  /** Sends a message to all subscribers of its topic except the sender. */
  publish(socket: IoSocket, from: string, message: ClientMessage): void
  /**
   * Notifies all subscribers of the notifications except the socket id `except`. `here`: on this
   * node only.
   */
  announce(announcement: Announcement, options?: { except?: string; here?: boolean }): void
  /** Sends a packet that a recovered connection missed. */
  repeat(socket: IoSocket, packet: readonly unknown[]): void
  authError(socket: IoSocket, fault: AuthErrorCode): void
  /**
   * Sends an auth error to a connection that has no socket yet. Clients handle it before or after
   * their event `connect`, by their version; those of Socket.IO 4.5 and later before it.
   */
  authErrorEarly(connection: TransportConnection, fault: AuthErrorCode): void
  /** Sends an auth error to every socket of a room, on every node. */
  authErrorIn(room: string, fault: TokenFault): void
}

/** `unavailable`: the token could not be verified. */
export type AuthErrorCode = TokenFault | 'unavailable'

export function createEmitter({ io, now }: { io: Io; now: Clock }): Emitter {
  /** `local` bypasses the cluster's adapter: an event for one socket must not go to other nodes. */
  const to = (socket: IoSocket) => io.local.to(socket.id)

  return {
    acknowledge: (socket, ack) => void to(socket).emit('ack', ack),
    reject: (socket, code, error) => void to(socket).emit(code, error),
    publish(socket, from, { topic, payload }) {
      const message = { id: randomUUID(), topic, type: 'event' as const, payload }
      socket.to(topic).emit('message', { ...message, timestamp: now(), from })
    },
    announce({ level, message }, { except, here = false } = {}) {
      const subscribers = here ? io.local.to(notificationsTopic) : io.to(notificationsTopic)
      const audience = except === undefined ? subscribers : subscribers.except(except)
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
    authErrorEarly(connection, fault) {
      const event = JSON.stringify(['auth_error', toAuthError(fault)])
      connection.write(`${eventPacket}${event}`)
    },
    authErrorIn: (room, fault) => void io.to(room).emit('auth_error', toAuthError(fault)),
  }
}

/** The type of an event in Socket.IO's protocol 5. */
const eventPacket = 2

const authErrorMessages = {
  token_missing: 'a token is needed',
  token_invalid: 'the token is invalid',
  token_expired: 'the token has expired',
  token_revoked: 'the token was revoked',
  unavailable: 'the token could not be verified, try again shortly',
} as const satisfies Record<AuthErrorCode, string>

export function toAuthError(fault: AuthErrorCode): Parameters<ServerEvents['auth_error']>[0] {
  return { code: fault, message: authErrorMessages[fault] }
}
