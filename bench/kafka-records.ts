import type { JournalRecord } from '../src/core/record.ts'

export const partitions = 8
export const messagesPerSend = 500

export type Run = { who: string; perSecond: number; cpuMicros: number }

/** Records per second of `work`, and CPU time per record of all threads of this process. */
export async function measure(
  who: string,
  count: number,
  work: () => Promise<unknown>,
): Promise<Run> {
  Bun.gc(true)
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  await work()
  const seconds = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const cpuMicros = Number(((user + system) / count).toFixed(2))
  return { who, perSecond: Math.round(count / seconds), cpuMicros }
}

const agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0'

/** Page views of ten thousand users, 606 bytes a line. A batch compresses to about a fifth. */
export function createRecord(index: number): JournalRecord & { line: string } {
  const uuid = `01900000-0000-7000-8000-${String(index).padStart(12, '0')}`
  const user = `user-${index % 10_007}`
  const line =
    `{"uuid":"${uuid}","project":"phc_bench","source":"capture","event":"$pageview",` +
    `"distinct_id":"${user}","session_id":"","timestamp":"2026-01-01T00:00:00.000Z",` +
    `"received_at":"2026-01-01T00:00:00.000Z","ip":"203.0.113.9","user_agent":"${agent}",` +
    `"library":"web","properties":{"$current_url":"https://example.com/${index}",` +
    `"$browser":"Firefox","$device_id":"${toNoise(index)}","$insert_id":"${toNoise(-index)}",` +
    `"title":"${'a page '.repeat(9)}"},"user":{},"historical":false}`
  const words = { kind: 'event', route: 'main', source: 'capture', event: '$pageview' } as const
  const dedupKey = undefined
  return { ...words, uuid, dedupKey, key: `phc_bench:${user}`, receivedMs: 0, line }
}

/** 32 hex digits that do not compress beyond their four bits each. */
const toNoise = (seed: number) =>
  [1, 2].map((salt) => Bun.hash.wyhash(`${seed}/${salt}`).toString(16).padStart(16, '0')).join('')
