import { readRssBytes } from './cpu.ts'
import type { Pace } from './measure.ts'
import { readLag, settle } from './rows.ts'
import { scenarios } from './scenarios.ts'
import { startBench } from './server.ts'
import { runWrk } from './wrk.ts'

export type Sample = { second: number; rssBytes: number; lag: number }

const pauseMs = 5000
/** The reference for memory and lag: the first fifth of the time (2 of 10 minutes). */
const settledShare = 1 / 5
/**
 * Memory rises and falls with each collection, so the mean of the last tenth (1 of 10 minutes)
 * counts.
 */
const meanShare = 1 / 10
const growthMax = 1.1

/** Full load for minutes. Passes if memory stays flat, the sinks keep up and no request fails. */
export async function runSoak(
  name: string,
  given: { folder: string; pace: Pace; environment: Record<string, string> },
): Promise<boolean> {
  const { folder, pace, environment } = given
  const server = await startBench(folder, `soak-${name}`, environment)
  const samples: Sample[] = []
  const startMs = performance.now()
  const timer = setInterval(async () => {
    const lag = await readLag(server.url).catch(() => Number.NaN)
    const second = Math.round((performance.now() - startMs) / 1000)
    samples.push({ second, rssBytes: readRssBytes(server.pid), lag })
    const mib = (readRssBytes(server.pid) / 1024 ** 2).toFixed(0)
    console.error(`${second} s of ${pace.seconds}: ${mib} MiB, lag ${lag}`)
  }, pauseMs)
  try {
    const { script } = scenarios[name]!
    const result = await runWrk({ url: server.url, script, ...pace }, 'once')
    clearInterval(timer)
    await settle(server.url)
    const verdict = toVerdict(samples, pace.seconds)
    const passed = result.passed && result.errors === 0 && verdict.passed
    console.log(JSON.stringify({ ...result, ...verdict, passed }))
    return passed
  } finally {
    clearInterval(timer)
    await server.stop()
  }
}

/**
 * Passes if memory grew by at most 10 % after the first fifth, and lag at most doubled (plus 10 000
 * events).
 */
export function toVerdict(samples: readonly Sample[], seconds: number) {
  const early = samples.filter(({ second }) => second <= Math.max(seconds * settledShare, 10))
  if (early.length === 0) return { passed: false, growth: Number.NaN, lagMax: Number.NaN }
  const growth = meanAtEnd(samples, seconds) / meanAtEnd(early, seconds)
  const worst = (some: readonly Sample[]) => Math.max(...some.map(({ lag }) => lag))
  const lagMax = worst(samples)
  return { passed: growth <= growthMax && lagMax <= 2 * worst(early) + 10_000, growth, lagMax }
}

function meanAtEnd(samples: readonly Sample[], seconds: number): number {
  const end = samples.at(-1)!.second
  const last = samples.filter(({ second }) => second > end - seconds * meanShare)
  return last.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / last.length
}
