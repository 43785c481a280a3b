import { readFileSync, writeFileSync } from 'node:fs'
import { scrape } from './metrics.ts'
import { until } from './until.ts'

/** Resolves once no request in flight holds memory. */
export async function intakeIsEmpty(url: string): Promise<void> {
  const isEmpty = async () => {
    const read = await scrape(url)
    return read('spillway_intake_bytes') + read('spillway_intake_requests') === 0
  }
  await until(isEmpty, { timeoutMs: 60_000, pauseMs: 50, what: 'an empty intake' })
}

const mib = 1024 * 1024

/** Resident memory in bytes: now, and at its highest since `reset`. */
export function memoryOf(pid: number): { nowBytes: number; peakBytes: number; reset(): void } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const read = (name: string) =>
    (Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) * mib) / 1024
  return {
    nowBytes: read('VmRSS'),
    peakBytes: read('VmHWM'),
    reset: () => writeFileSync(`/proc/${pid}/clear_refs`, '5'),
  }
}
