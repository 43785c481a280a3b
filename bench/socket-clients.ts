import { io, type Socket } from 'socket.io-client'
import { until } from './launch.ts'

export type Target = { url: string; pid: number }

/** A public client, which needs no secret for a token, and the project of `single.lua`. */
export const projects = `
[[clients]]
id = "bench"
public = true

[[projects]]
id = "bench"
tokens = ["phc_bench_project_token_0000000000001"]
`

/** Concurrent handshakes. More would only wait for each other. */
const dialsMax = 50

export async function readToken({ url }: Target): Promise<string> {
  const response = await fetch(`${url}/api/auth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ grant_type: 'client_credentials', client_id: 'bench' }),
  })
  const body = (await response.json()) as { access_token?: string }
  if (!body.access_token) throw new Error(`no token: ${JSON.stringify(body)}`)
  return body.access_token
}

export async function connect(url: string, token: string, count: number): Promise<Socket[]> {
  const all: Socket[] = []
  for (let from = 0; from < count; from += dialsMax) {
    const size = Math.min(dialsMax, count - from)
    const dialled = Array.from({ length: size }, () =>
      io(url, { auth: { token }, forceNew: true, transports: ['websocket'], reconnection: false }),
    )
    all.push(...dialled)
    await until(() => dialled.every((socket) => socket.connected), `socket ${from + size}`)
    if (from % 1000 === 0 && count > 10) console.error(`${from + size} of ${count} sockets`)
  }
  return all
}

export async function subscribe(socket: Socket, topic: string): Promise<void> {
  const answered = Promise.withResolvers<void>()
  socket.on('ack', ({ id }: { id: string }) => id === topic && answered.resolve())
  socket.emit('subscribe', { topic, messageId: topic })
  await answered.promise
}

export type Pace = { messages: number; ratePerSecond: number }

/** Sends at a fixed rate, whatever the speed of the replies. */
export async function sendPaced({ messages, ratePerSecond }: Pace, send: () => void) {
  const startMs = performance.now()
  for (let sent = 0; sent < messages; sent += 1) {
    await Bun.sleep(Math.max(0, startMs + (sent * 1000) / ratePerSecond - performance.now()))
    send()
  }
}
