import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readRssBytes } from './cpu.ts'
import { type Bench, startBench } from './server.ts'
import { type Audience, connectAudience, type Delivery } from './socket-audience.ts'
import { connect, type Pace, projects, readToken } from './socket-clients.ts'
import { measureSlow, type SlowReport } from './socket-slow.ts'
import { requireWrk, runWrk, type WrkResult } from './wrk.ts'

/**
 * Socket.IO under load: `bun bench/sockets.ts [--sockets 5000] [--subscribers 500] [--messages 200]
 * [--rate 20]`. First measures the memory of idle sockets. Then publishes at a fixed rate to
 * subscribers of one topic: alone, with a further subscriber that reads nothing, and with that and
 * capture requests over 16 connections of wrk. Exits with 1 if it finds one of the faults below.
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
const pace: Pace = {
  messages: Number(values.messages),
  ratePerSecond: Number(values.rate),
}

const p95MsMax = 200
/**
 * Bytes sent to a subscriber that reads nothing: 4 MiB in the server, the rest in the kernel's
 * buffers.
 */
const offeredBytesMax = 16 * 1024 * 1024
const captureConnections = 16

type Run = { alone: Delivery; besideSlow: Strained; besideSlowAndCapture: Strained }
type Strained = Delivery & { slow: SlowReport; capture?: WrkResult }

/** The server's memory for each idle socket, in bytes. */
async function measureIdle(server: Bench, token: string): Promise<number> {
  const before = readRssBytes(server.pid)
  await connect(server.url, token, sockets)
  await Bun.sleep(2000)
  return (readRssBytes(server.pid) - before) / Math.max(1, sockets)
}

async function measureBesideSlow(server: Bench, token: string, audience: Audience) {
  const measured = [audience.measure(pace), measureSlow(server, token, pace)] as const
  const [delivery, slow] = await Promise.all(measured)
  return { ...delivery, slow }
}

async function measureBesideBoth(server: Bench, token: string, audience: Audience) {
  const seconds = Math.ceil(pace.messages / pace.ratePerSecond)
  const load = { url: server.url, script: 'single.lua', seconds, connections: captureConnections }
  const [strained, capture] = await Promise.all([
    measureBesideSlow(server, token, audience),
    runWrk(load, 'once'),
  ])
  return { ...strained, capture }
}

async function measureRun(server: Bench, token: string): Promise<Run> {
  const audience = await connectAudience(server, token, subscribers)
  const alone = await audience.measure(pace)
  console.error('with a subscriber that reads nothing')
  const besideSlow = await measureBesideSlow(server, token, audience)
  console.error('with a subscriber that reads nothing, and capture')
  const besideSlowAndCapture = await measureBesideBoth(server, token, audience)
  return { alone, besideSlow, besideSlowAndCapture }
}

function findFaults({ alone, besideSlow, besideSlowAndCapture }: Run): string[] {
  const strained = [besideSlow, besideSlowAndCapture]
  const all = [alone, ...strained]
  const faults = {
    'deliveries are slow': all.some(({ p95Ms }) => p95Ms >= p95MsMax),
    'messages are missing': all.some(({ missing }) => missing > 0),
    'a neighbour of the slow subscriber misses messages': strained.some(
      ({ slow }) => slow.neighbourMissing > 0,
    ),
    'the slow subscriber was kept': strained.some(
      ({ slow }) =>
        slow.disconnectedAfterSeconds === undefined || slow.offeredBytes > offeredBytesMax,
    ),
    'capture is slow or fails': besideSlowAndCapture.capture?.passed !== true,
  }
  return Object.entries(faults).flatMap(([fault, isSo]) => (isSo ? [fault] : []))
}

async function main(folder: string): Promise<boolean> {
  const file = join(folder, 'projects.toml')
  await Bun.write(file, projects)
  const server = await startBench(folder, 'sockets', {
    ...{ PROJECTS_FILE: file, CORS_ORIGINS: '*' },
    // Small: a growing dedup table would count as memory of the sockets.
    DEDUP_BYTES_MAX: '1MiB',
  })
  try {
    const token = await readToken(server)
    const bytesPerSocket = await measureIdle(server, token)
    const run = await measureRun(server, token)
    const faults = findFaults(run)
    console.log(JSON.stringify({ sockets, bytesPerSocket, subscribers, ...pace, ...run, faults }))
    const p95s = [run.alone, run.besideSlow, run.besideSlowAndCapture].map(({ p95Ms }) =>
      p95Ms.toFixed(1),
    )
    const verdict = faults.length === 0 ? 'PASS' : `FAIL: ${faults.join(', ')}`
    console.log(`${verdict}; P95 of deliveries ${p95s.join(', ')} ms (limit ${p95MsMax})`)
    return faults.length === 0
  } finally {
    await server.stop()
  }
}

requireWrk()
const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
let passed = false
try {
  passed = await main(folder)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit(passed ? 0 : 1)
