import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { io, type Socket } from 'socket.io-client'
import { readCpu, readRssBytes, toCpuUse } from './cpu.ts'
import { until } from './launch.ts'
import { type Bench, startBench } from './server.ts'

/**
 * Socket.IO under load: `bun bench/sockets.ts [--sockets 5000] [--subscribers 500] [--messages 200] [--rate 20]`. Idle
 * sockets first, for their memory; then subscribers of one topic, to whom messages are published at a rate. Exits with 1
 * where a message is missing or the P95 of its delivery is not below 200 ms.
 */
const options = {
  sockets: { type: 'string', default: '5000' },
  subscribers: { type: 'string', default: '500' },
  messages: { type: 'string', default: '200' },
  rate: { type: 'string', default: '20' },
} as const
const { values } = parseArgs({ options })
const sockets = Number(values.sockets)
const subscribers = Number(values.subscribers)
const messages = Number(values.messages)
const ratePerSecond = Number(values.rate)

const p95MsMax = 200
/** Handshakes under way at once: more only wait for each other. */
const dialsMax = 50
const topic = 'public:bench'
const projects = '[[clients]]\nid = "bench"\npublic = true\n'

async function readToken({ url }: Bench): Promise<string> {
  const response = await fetch(`${url}/api/auth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ grant_type: 'client_credentials', client_id: 'bench' }),
  })
  const body = (await response.json()) as { access_token?: string }
  if (!body.access_token) throw new Error(`no token: ${JSON.stringify(body)}`)
  return body.access_token
}

async function connect(url: string, token: string, count: number): Promise<Socket[]> {
  const all: Socket[] = []
  for (let from = 0; from < count; from += dialsMax) {
    const size = Math.min(dialsMax, count - from)
    const dialled = Array.from({ length: size }, () =>
      io(url, { auth: { token }, forceNew: true, transports: ['websocket'], reconnection: false }),
    )
    all.push(...dialled)
    await until(() => dialled.every((socket) => socket.connected), `socket ${from + size}`)
    if ((from / dialsMax) % 20 === 0) console.error(`${from + size} of ${count} sockets`)
  }
  return all
}

/** Memory that a socket takes at the server, once both sides are quiet. */
async function measureIdle(server: Bench, token: string) {
  const before = readRssBytes(server.pid)
  const idle = await connect(server.url, token, sockets)
  await Bun.sleep(2000)
  const bytesPerSocket = (readRssBytes(server.pid) - before) / Math.max(1, sockets)
  return { idle, bytesPerSocket }
}

async function measureDelivery(server: Bench, token: string) {
  const readers = await connect(server.url, token, subscribers)
  const [publisher] = await connect(server.url, token, 1)
  const delaysMs: number[] = []
  for (const reader of readers) {
    reader.on('message', ({ payload }: { payload: { sentMs: number } }) =>
      delaysMs.push(performance.now() - payload.sentMs),
    )
  }
  await Promise.all(readers.map((reader) => ask(reader, 'subscribe', { topic })))
  const before = readCpu(server.pid)
  const startMs = performance.now()
  for (let sent = 0; sent < messages; sent += 1) {
    await Bun.sleep(Math.max(0, startMs + (sent * 1000) / ratePerSecond - performance.now()))
    publisher!.emit('publish', { topic, payload: { sentMs: performance.now() } })
  }
  await until(() => delaysMs.length >= messages * subscribers, 'every message').catch(() => {})
  const seconds = (performance.now() - startMs) / 1000
  const { httpUs } = toCpuUse(server.pid, before, readCpu(server.pid))
  delaysMs.sort((a, b) => a - b)
  const p95Ms = delaysMs[Math.floor(delaysMs.length * 0.95)] ?? Number.POSITIVE_INFINITY
  const delivered = delaysMs.length
  return { p95Ms, delivered, perSecond: delivered / seconds, cpuUsPerDelivery: httpUs / delivered }
}

let asked = 0

async function ask(socket: Socket, event: string, data: object): Promise<void> {
  asked += 1
  const messageId = `m${asked}`
  const answered = Promise.withResolvers<void>()
  socket.on('ack', ({ id }: { id: string }) => id === messageId && answered.resolve())
  socket.emit(event, { ...data, messageId })
  await answered.promise
}

async function main(): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
  const file = join(folder, 'projects.toml')
  await Bun.write(file, projects)
  const server = await startBench(folder, 'sockets', { PROJECTS_FILE: file, CORS_ORIGINS: '*' })
  try {
    const token = await readToken(server)
    const { bytesPerSocket } = await measureIdle(server, token)
    const delivery = await measureDelivery(server, token)
    const passed = delivery.p95Ms < p95MsMax && delivery.delivered === messages * subscribers
    console.log(JSON.stringify({ sockets, bytesPerSocket, subscribers, messages, ...delivery }))
    console.log(`${passed ? 'PASS' : 'FAIL'}: P95 ${delivery.p95Ms.toFixed(1)} ms (limit 200)`)
    return passed
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

process.exit((await main()) ? 0 : 1)
