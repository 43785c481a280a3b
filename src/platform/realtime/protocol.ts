import type { Server, Socket } from 'socket.io'
import type { NotificationLevel } from './messages.ts'

/** The events of the contract, section 3.2, from server to client. Timestamps in ms since 1970. */
export type ServerEvents = {
  message(message: {
    id: string
    topic: string
    type: 'event'
    payload: unknown
    timestamp: number
    from: string
  }): void
  ack(ack: Ack): void
  notification(notification: {
    id: string
    type: 'notification'
    level: NotificationLevel
    message: string
    timestamp: number
  }): void
  auth_error(error: { code: string; message: string }): void
  permission_denied(error: Refusal): void
  channel_not_found(error: Refusal): void
  invalid_message(error: Refusal): void
}

export type Ack = { id: string; type: 'ack'; status: 'success' | 'error'; error?: string }

export type Refusal = { id?: string; topic?: string; message: string }

/** What survives in `socket.data`: after a recovery, what the old connection had. */
export type SocketData = { holder?: string; lost?: Lost }

/** Topics and packets of a recovered connection, held back until its new token is judged. */
export type Lost = { holder: string; topics: readonly string[]; packets: readonly unknown[][] }

type Incoming = Record<string, (...data: unknown[]) => void>

export type Io = Server<Incoming, ServerEvents, Record<string, never>, SocketData>
export type IoSocket = Socket<Incoming, ServerEvents, Record<string, never>, SocketData>
