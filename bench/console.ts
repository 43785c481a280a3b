import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CpuUse, readCpu, toCpuUse } from './cpu.ts'
import { describeMachine } from './machine.ts'
import { warmUpSeconds } from './measure.ts'
import { requirePool, toBatch } from './pool.ts'
import { settle } from './rows.ts'
import { scenarios } from './scenarios.ts'
import { type Bench, startBench } from './server.ts'
import { requireWrk, runWrk } from './wrk.ts'

/**
 * `bun bench/console.ts [single] [batch-gzip]`: one server under load, with an open console and without, in turn
 * (closed, open, open, closed, …), so that what changes slowly changes both. Neighbouring runs are compared, and the median of
 * these ratios counts. It passes if the CPU time of an event with the console open is at most 3 % above that without, on the
 * HTTP thread and on all threads. With `--paced` it prints
 * instead what an open console takes at a fixed, small load.
 */
const secondsPerRun = 3
const pairs = 10
const order = Array.from({ length: pairs }, (_, pair) =>
  pair % 2 === 0 ? [false, true] : [true, false],
).flat()
const isPacedOnly = process.argv.includes('--paced')
const ratioMax = 1.03
const adminToken = 'a-token-of-this-bench-only'

type Run = { isOpen: boolean; httpUs: number; allUs: number; perSecond: number; p95: number }

async function main(): Promise<number> {
  requireWrk()
  const given = process.argv.slice(2).filter((name) => name in scenarios)
  const names = isPacedOnly ? ['single'] : given.length > 0 ? given : ['single', 'batch-gzip']
  // Beside other work the server takes in half of what it can.
  if (names.includes('batch-gzip')) await requirePool((secondsPerRun * order.length) / 2)
  const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
  try {
    console.log(describeMachine())
    const verdicts: boolean[] = []
    for (const name of names) verdicts.push(await compare(name, folder))
    return verdicts.every(Boolean) ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function compare(name: string, folder: string): Promise<boolean> {
  const server = await startBench(folder, name, { ADMIN_TOKEN: adminToken })
  try {
    const runs: Run[] = []
    await runWrk({ ...toLoad(server, name), seconds: warmUpSeconds }, 'tail')
    await settle(server.url)
    if (isPacedOnly) {
      await reportPaced(server)
      return true
    }
    let skipBodies = 0
    for (const isOpen of order) {
      const reader = isOpen ? openConsole(server.url) : undefined
      const before = readCpu(server.pid)
      const result = await runWrk({ ...toLoad(server, name), skipBodies }, 'once')
      await settle(server.url)
      const use = toCpuUse(before, readCpu(server.pid))
      const seen = await reader?.close()
      runs.push(toRun({ isOpen, use, result }, scenarios[name]!.eventsPerRequest))
      skipBodies += result.requests + 64
      console.log(toLine(name, runs.at(-1)!, seen))
    }
    return report(name, runs)
  } finally {
    await server.stop()
  }
}

const toLoad = ({ url }: Bench, name: string) => ({
  ...{ url, script: scenarios[name]!.script, seconds: secondsPerRun, connections: 64 },
})

type Measured = {
  isOpen: boolean
  use: CpuUse
  result: { requests: number; seconds: number; p95_ms: number }
}

function toRun({ isOpen, use, result }: Measured, eventsPerRequest: number): Run {
  const events = result.requests * eventsPerRequest
  return {
    isOpen,
    httpUs: use.httpUs / events,
    allUs: use.allUs / events,
    perSecond: result.requests / result.seconds,
    p95: result.p95_ms,
  }
}

const toLine = (name: string, { isOpen, httpUs, allUs, perSecond, p95 }: Run, seen?: number) =>
  `${name} ${isOpen ? 'open  ' : 'closed'} ${httpUs.toFixed(2)} µs HTTP thread, ${allUs.toFixed(2)} µs all, ` +
  `${Math.round(perSecond)} requests/s, P95 ${p95} ms${seen === undefined ? '' : `, ${seen} events shown`}`

function report(name: string, runs: readonly Run[]): boolean {
  const ratioOf = (field: 'httpUs' | 'allUs' | 'perSecond') =>
    toMedian(
      Array.from({ length: pairs }, (_, pair) => {
        const both = runs.slice(2 * pair, 2 * pair + 2)
        const of = (isOpen: boolean) => both.find((run) => run.isOpen === isOpen)![field]
        return of(true) / of(false)
      }),
    )
  const [http, all, rate] = [ratioOf('httpUs'), ratioOf('allUs'), ratioOf('perSecond')]
  const isFine = http <= ratioMax && all <= ratioMax
  console.log(
    `${name}: open / closed, median of ${pairs} pairs: CPU per event ${http.toFixed(3)} on the HTTP thread, ` +
      `${all.toFixed(3)} on all; requests/s ${rate.toFixed(3)}: ${isFine ? 'PASS' : 'FAIL'}`,
  )
  return isFine
}

/**
 * CPU time a second at a fixed, small load. What the console does in a second is bounded, so its cost does not grow with the load,
 * and a busy machine disturbs this figure less than the others.
 */
async function reportPaced(server: Bench): Promise<void> {
  const sending = startPacedLoad(server.url)
  const spent: { isOpen: boolean; httpMs: number; allMs: number }[] = []
  for (const isOpen of order) {
    const reader = isOpen ? openConsole(server.url) : undefined
    const before = readCpu(server.pid)
    const startedMs = performance.now()
    await Bun.sleep(pacedSeconds * 1000)
    const { httpUs, allUs } = toCpuUse(before, readCpu(server.pid))
    const elapsedMs = performance.now() - startedMs
    await reader?.close()
    spent.push({ isOpen, httpMs: httpUs / elapsedMs, allMs: allUs / elapsedMs })
  }
  await sending.stop()
  for (const field of ['httpMs', 'allMs'] as const) {
    const of = (isOpen: boolean) =>
      toMedian(spent.filter((one) => one.isOpen === isOpen).map((one) => one[field]))
    const more = toMedian(
      Array.from({ length: pairs }, (_, pair) => {
        const both = spent.slice(2 * pair, 2 * pair + 2)
        return both.find((one) => one.isOpen)![field] - both.find((one) => !one.isOpen)![field]
      }),
    )
    console.log(
      `${batchesPerSecond} batches a second, ${field === 'httpMs' ? 'HTTP thread' : 'all threads'}: closed ` +
        `${of(false).toFixed(1)}, open ${of(true).toFixed(1)} ms a second; median of ${pairs} differences ${more.toFixed(1)} ms`,
    )
  }
}

/** Of 50 events: more pass than the live list takes. */
const batchesPerSecond = 40
const pacedSeconds = 4

function startPacedLoad(url: string): { stop(): Promise<void> } {
  let isStopping = false
  const sending = (async () => {
    const startedMs = performance.now()
    for (let sent = 1; !isStopping; sent += 1) {
      await (await fetch(`${url}/batch/`, { method: 'POST', body: toBatch() })).arrayBuffer()
      await Bun.sleep(Math.max(0, startedMs + (sent * 1000) / batchesPerSecond - performance.now()))
    }
  })()
  return {
    stop: async () => {
      isStopping = true
      await sending
    },
  }
}

function toMedian(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Asks for what two tabs of the page ask for: the overview with its plots, and the live events. */
function openConsole(url: string): { close(): Promise<number> } {
  const ending = new AbortController()
  const { signal } = ending
  const ask = (path: string) =>
    fetch(`${url}/console/api/${path}`, {
      headers: { authorization: `Bearer ${adminToken}` },
      signal,
    })
  const repeat = async (path: string, everyMs: number) => {
    while (!signal.aborted) {
      await (await ask(path)).arrayBuffer()
      await Bun.sleep(everyMs)
    }
  }
  let seen = 0
  const watch = async () => {
    const decoder = new TextDecoder()
    for await (const chunk of (await ask('live')).body ?? [])
      seen += decoder.decode(chunk).split('"seq":').length - 1
  }
  const working = Promise.allSettled([
    repeat('overview', 2000),
    ask('history?minutes=60').then(() => repeat('history?minutes=1', 5000)),
    watch(),
  ])
  return {
    close: async () => {
      ending.abort()
      await working
      return seen
    },
  }
}

process.exit(await main())
