import { connect } from 'node:net'
import { until } from './until.ts'

export type SilentSubscriber = {
  /** Reads until the server ends the connection. Resolves with the number of bytes read. */
  drain(): Promise<number>
  close(): void
}

/** A websocket that subscribes to topics and then stops reading from its socket. */
export async function silentSubscriber(
  url: string,
  { token, topics }: { token: string; topics: readonly string[] },
): Promise<SilentSubscriber> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const received: Buffer[] = []
  socket.on('data', (chunk) => void received.push(Buffer.from(chunk)))
  socket.on('error', () => {})
  const untilReceived = (text: string) =>
    until(() => Buffer.concat(received).includes(text), { what: `${text} from the server` })
  socket.write(handshake(hostname))
  await untilReceived('pingInterval')
  socket.write(toFrame(`40${JSON.stringify({ token })}`))
  await untilReceived('40{')
  for (const topic of topics) {
    socket.write(toFrame(`42${JSON.stringify(['subscribe', { topic, messageId: topic }])}`))
    await untilReceived(`"ack",{"id":"${topic}"`)
  }
  socket.pause()
  return {
    async drain() {
      const ended = new Promise((resolve) => socket.once('close', resolve))
      const before = sizeOf(received)
      socket.resume()
      await ended
      return sizeOf(received) - before
    },
    close: () => void socket.destroy(),
  }
}

const sizeOf = (chunks: readonly Buffer[]) =>
  chunks.reduce((bytes, { length }) => bytes + length, 0)

const handshake = (host: string) =>
  [
    'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1',
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13\r\n\r\n',
  ].join('\r\n')

/** A client's text frame below 64 KiB, with a mask of zeros (RFC 6455, section 5.2). */
function toFrame(text: string): Buffer {
  const body = Buffer.from(text)
  const size = body.length < 126 ? [body.length] : [126, body.length >> 8, body.length & 255]
  const [first = 0, ...rest] = size
  return Buffer.concat([Buffer.from([0x81, 0x80 | first, ...rest, 0, 0, 0, 0]), body])
}
