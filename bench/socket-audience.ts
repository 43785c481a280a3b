import type { Socket } from 'socket.io-client'
import { readCpu, toCpuUse } from './cpu.ts'
import { until } from './launch.ts'
import { connect, type Pace, sendPaced, subscribe, type Target } from './socket-clients.ts'

export const topic = 'public:bench'

export type Delivery = {
  p50Ms: number
  p95Ms: number
  delivered: number
  missing: number
  perSecond: number
  cpuUsPerDelivery: number
}

export type Audience = { measure(pace: Pace): Promise<Delivery> }

/**
 * Subscribers of one topic and a publisher. A delay is the time from the publisher's call to the
 * subscriber's listener.
 */
export async function connectAudience(
  server: Target,
  token: string,
  subscribers: number,
): Promise<Audience> {
  const readers = await connect(server.url, token, subscribers)
  const [publisher] = await connect(server.url, token, 1)
  let delaysMs: number[] = []
  for (const reader of readers) {
    reader.on('message', ({ payload }: { payload: { sentMs: number } }) =>
      delaysMs.push(performance.now() - payload.sentMs),
    )
  }
  await Promise.all(readers.map((reader) => subscribe(reader, topic)))

  async function measure(pace: Pace): Promise<Delivery> {
    delaysMs = []
    const expected = pace.messages * subscribers
    const before = readCpu(server.pid)
    const startMs = performance.now()
    await sendPaced(pace, () => publish(publisher!))
    await until(() => delaysMs.length >= expected, 'every message').catch(() => {})
    const seconds = (performance.now() - startMs) / 1000
    const { httpUs } = toCpuUse(before, readCpu(server.pid))
    const delivered = delaysMs.length
    const missing = expected - delivered
    const rates = { perSecond: delivered / seconds, cpuUsPerDelivery: httpUs / delivered }
    return { ...toShares(delaysMs), delivered, missing, ...rates }
  }
  return { measure }
}

const publish = (socket: Socket) =>
  socket.emit('publish', { topic, payload: { sentMs: performance.now() } })

function toShares(delaysMs: readonly number[]): { p50Ms: number; p95Ms: number } {
  const sorted = delaysMs.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Infinity
  return { p50Ms: at(0.5), p95Ms: at(0.95) }
}
