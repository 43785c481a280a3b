import { type CpuUse, readCpu, readRssBytes, toCpuUse } from './cpu.ts'
import type { Launched } from './launch.ts'
import { readLag, settle } from './rows.ts'
import type { Scenario } from './scenarios.ts'
import { type Bench, startBaseline, startBench } from './server.ts'
import { runWrk, type WrkResult } from './wrk.ts'

export type Pace = { seconds: number; connections: number }

export type Measured = WrkResult & CpuUse & { rssBytes: number }

export type Row = {
  name: string
  eventsPerRequest: number
  baseline: Measured
  spillway: Measured & { lag: number; acknowledged: number; stored: number }
  passed: boolean
}

/** By then the JIT has compiled the code of a request. */
export const warmUpSeconds = 8

/** Runs one scenario against the baseline and against the server, each freshly started. */
export async function measureScenario(
  name: string,
  { script, eventsPerRequest, table }: Scenario,
  { folder, pace, environment }: { folder: string; pace: Pace; environment: Environment },
): Promise<Row> {
  console.error(`${name}: baseline, ${pace.seconds} s`)
  const baseline = await measureBaseline(folder, script, pace)
  console.error(`${name}: spillway, ${pace.seconds} s`)
  const server = await startBench(folder, name, environment)
  try {
    const load = { url: server.url, script, ...pace }
    const before = await server.count(table)
    const warmUp = await runWrk({ ...load, seconds: warmUpSeconds }, 'tail')
    await settle(server.url)
    const measured = await measureServer(server, () => runWrk(load, 'once'))
    const stored = (await server.count(table)) - before
    const answered = (run: WrkResult) => run.requests - run.errors
    const acknowledged = (answered(warmUp) + answered(measured)) * eventsPerRequest
    // At its end wrk drops the requests in flight. The server may have stored them.
    const inFlight = 2 * pace.connections * eventsPerRequest
    const isComplete = stored >= acknowledged && stored <= acknowledged + inFlight
    const passed = measured.passed && isComplete
    const spillway = { ...measured, acknowledged, stored }
    return { name, eventsPerRequest, baseline, spillway, passed }
  } finally {
    await server.stop()
  }
}

type Environment = Record<string, string>

async function measureBaseline(folder: string, script: string, pace: Pace): Promise<Measured> {
  const server: Launched = await startBaseline(folder)
  try {
    const load = { url: server.url, script, ...pace }
    await runWrk({ ...load, seconds: warmUpSeconds }, 'wrap')
    const before = readCpu(server.pid)
    const result = await runWrk(load, 'wrap')
    const use = toCpuUse(before, readCpu(server.pid))
    return { ...result, ...use, rssBytes: readRssBytes(server.pid) }
  } finally {
    await server.stop()
  }
}

/** Counts CPU time until the sinks have all events, so that delivery is included. */
async function measureServer(server: Bench, load: () => Promise<WrkResult>) {
  const before = readCpu(server.pid)
  const result = await load()
  const lag = await readLag(server.url)
  const rssBytes = readRssBytes(server.pid)
  await settle(server.url)
  return { ...result, ...toCpuUse(before, readCpu(server.pid)), rssBytes, lag }
}
