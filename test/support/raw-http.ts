import { connect } from 'node:net'
import { until } from './until.ts'

/** A TCP connection for requests that no HTTP client would send. */
export type RawHttp = {
  send(data: string | Uint8Array): void
  /** Resolves once the kernel has taken the data, or the connection has closed. */
  sendAll(data: Uint8Array): Promise<void>
  /** Closes the sending side and keeps reading. */
  finish(): void
  /** Closes the connection at once, without a shutdown. */
  destroy(): void
  /** Everything received so far. */
  received(): string
  /** Resolves with the status of the first reply once its head is complete. */
  status(): Promise<number>
  isClosed(): boolean
  /** Resolves once the server has closed the connection. */
  closed(timeoutMs?: number): Promise<void>
}

export async function rawHttp(url: string): Promise<RawHttp> {
  const socket = connect({
    port: Number(new URL(url).port),
    host: '127.0.0.1',
    allowHalfOpen: true,
  })
  let text = ''
  let isClosed = false
  socket.on('data', (data) => {
    text += data.toString('latin1')
  })
  socket.on('end', () => {
    isClosed = true
    socket.end()
  })
  socket.on('close', () => {
    isClosed = true
  })
  socket.on('error', () => {})
  await until(() => socket.readyState === 'open', { what: 'the connection' })
  return {
    send: (data) => void socket.write(data),
    sendAll: (data) =>
      new Promise((resolve) => {
        if (isClosed) resolve()
        else
          socket.once('close', resolve).write(data, () => {
            socket.off('close', resolve)
            resolve()
          })
      }),
    finish: () => void socket.end(),
    destroy: () => void socket.destroy(),
    received: () => text,
    status: () => until(() => toStatus(text), { timeoutMs: 60_000, what: 'a reply' }),
    isClosed: () => isClosed,
    closed: async (timeoutMs = 30_000) => {
      await until(() => isClosed, { timeoutMs, what: 'the end of the connection' })
    },
  }
}

function toStatus(text: string): number | undefined {
  if (!text.includes('\r\n\r\n')) return undefined
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
}
