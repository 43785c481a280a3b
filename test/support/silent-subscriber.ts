import { connect } from 'node:net'
import { until } from './until.ts'

export type SilentSubscriber = {
  /** Reads again, until the server ends the connection; resolves with the bytes that came meanwhile. */
  drain(): Promise<number>
  close(): void
}

/** A websocket that subscribes to topics, and from then on takes nothing from its socket. */
export async function silentSubscriber(
  url: string,
  { token, topics }: { token: string; topics: readonly string[] },
): Promise<SilentSubscriber> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const seen: Buffer[] = []
  socket.on('data', (chunk) => void seen.push(Buffer.from(chunk)))
  socket.on('error', () => {})
  const hears = (text: string) =>
    until(() => Buffer.concat(seen).includes(text), { what: `${text} from the server` })
  socket.write(handshake(hostname))
  await hears('pingInterval')
  socket.write(toFrame(`40${JSON.stringify({ token })}`))
  await hears('40{')
  for (const topic of topics) {
    socket.write(toFrame(`42${JSON.stringify(['subscribe', { topic, messageId: topic }])}`))
    await hears(`"ack",{"id":"${topic}"`)
  }
  socket.pause()
  return {
    async drain() {
      const ended = new Promise((resolve) => socket.once('close', resolve))
      const before = sizeOf(seen)
      socket.resume()
      await ended
      return sizeOf(seen) - before
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

/** A text frame below 64 KiB as clients send it, with a mask of zeros. Source: RFC 6455, section 5.2. */
function toFrame(text: string): Buffer {
  const body = Buffer.from(text)
  const size = body.length < 126 ? [body.length] : [126, body.length >> 8, body.length & 255]
  const [first = 0, ...rest] = size
  return Buffer.concat([Buffer.from([0x81, 0x80 | first, ...rest, 0, 0, 0, 0]), body])
}
