import { type CpuUse, readCpu, readRssBytes, toCpuUse } from './cpu.ts'
import type { Launched } from './launch.ts'
import { countRows, readLag, settle } from './rows.ts'
import type { Scenario } from './scenarios.ts'
import { type Bench, startBaseline, startBench } from './server.ts'
import { runWrk, type WrkResult } from './wrk.ts'

export type TurnScheduler = { seconds: number; connections: number }

export type Measured = WrkResult & CpuUse & { rssBytes: number }

export type Row = {
  name: string
  eventsPerRequest: number
  baseline: Measured
  spillway: Measured & { lag: number; acknowledged: number; stored: number }
  passed: boolean
}

/** Until the compiler has been through what is called for each request. */
export const warmUpSeconds = 8

/** One scenario against the bare baseline and against the server, each freshly started. */
export async function measureScenario(
  name: string,
  { script, eventsPerRequest, table }: Scenario,
  { folder, pace, environment }: { folder: string; pace: TurnScheduler; environment: Environment },
): Promise<Row> {
  console.error(`${name}: baseline, ${pace.seconds} s`)
  const baseline = await measureBaseline(folder, script, pace)
  console.error(`${name}: spillway, ${pace.seconds} s`)
  const server = await startBench(folder, name, environment)
  try {
    const load = { url: server.url, script, ...pace }
    const before = await countRows(server.queryUrl, table)
    const warmUp = await runWrk({ ...load, seconds: warmUpSeconds }, 'tail')
    await settle(server.url)
    const measured = await measureServer(server, () => runWrk(load, 'once'))
    const stored = (await countRows(server.queryUrl, table)) - before
    const answered = (run: WrkResult) => run.requests - run.errors
    const acknowledged = (answered(warmUp) + answered(measured)) * eventsPerRequest
    // wrk hangs up on the requests that are under way at its end: they may be stored as well.
    const unheard = 2 * pace.connections * eventsPerRequest
    const isWhole = stored >= acknowledged && stored <= acknowledged + unheard
    const passed = measured.passed && isWhole
    const spillway = { ...measured, acknowledged, stored }
    return { name, eventsPerRequest, baseline, spillway, passed }
  } finally {
    await server.stop()
  }
}

type Environment = Record<string, string>

async function measureBaseline(
  folder: string,
  script: string,
  pace: TurnScheduler,
): Promise<Measured> {
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

/** CPU is counted until the sinks have everything: an event costs what it costs in the end. */
async function measureServer(server: Bench, load: () => Promise<WrkResult>) {
  const before = readCpu(server.pid)
  const result = await load()
  const lag = await readLag(server.url)
  const rssBytes = readRssBytes(server.pid)
  await settle(server.url)
  return { ...result, ...toCpuUse(before, readCpu(server.pid)), rssBytes, lag }
}
