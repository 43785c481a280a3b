import type { Server, Socket } from 'socket.io'
import type { NotificationLevel } from './messages.ts'

/** The events that the server sends (docs/contracts/platform.md). Timestamps in ms since 1970. */
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
  permission_denied(error: ErrorBody): void
  channel_not_found(error: ErrorBody): void
  invalid_message(error: ErrorBody): void
}

export type Ack = { id: string; type: 'ack'; status: 'success' | 'error'; error?: string }

/** The body of an error event. `id` is the client's message id. */
export type ErrorBody = { id?: string; topic?: string; message: string }

/** `socket.data`, which Socket.IO stores with a session. `lost` is set after a recovery only. */
export type SocketData = { holder?: string; lost?: LostSession }

/** Topics and packets of a recovered connection, kept back until its new token is verified. */
export type LostSession = {
  holder: string
  topics: readonly string[]
  packets: readonly unknown[][]
}

type Incoming = Record<string, (...data: unknown[]) => void>

export type Io = Server<Incoming, ServerEvents, Record<string, never>, SocketData>
export type IoSocket = Socket<Incoming, ServerEvents, Record<string, never>, SocketData>
