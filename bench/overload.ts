import { Database } from 'bun:sqlite'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { readRssBytes } from './cpu.ts'
import { toBatch } from './pool.ts'
import { settle } from './rows.ts'
import { type Bench, startBench } from './server.ts'

/**
 * Overload with three times the capacity: `bun bench/overload.ts [--seconds 20] [--times 3]`.
 * Measures the capacity, then oha sends at a fixed rate, whatever the replies. Accepted requests
 * need a P95 below 200 ms, and the others the status 503. All acknowledged events must be stored,
 * and memory must not grow.
 */
const options = {
  seconds: { type: 'string', default: '20' },
  times: { type: 'string', default: '3' },
  connections: { type: 'string', default: '400' },
} as const
const { values } = parseArgs({ options })

const p95MsMax = 200
const eventsPerRequest = 50
const growthMax = 1.25
const capacitySeconds = 8

type Answer = { status: number; count: number; p50Ms: number; p95Ms: number; p99Ms: number }
type Load = { folder: string; server: Bench; name: string; arguments: string[] }

/** All replies of one run, by status, from oha's database. */
async function attack({ folder, server, name, arguments: given }: Load): Promise<Answer[]> {
  const database = join(folder, `${name}.sqlite`)
  const body = ['-D', join(folder, 'body.gz'), '-T', 'application/json']
  const headers = ['-H', 'content-encoding: gzip', '-m', 'POST', ...body]
  const output = ['--no-tui', '--output-format', 'quiet', '--db-url', database]
  const command = ['oha', ...given, ...headers, ...output, `${server.url}/batch`]
  const child = Bun.spawn(command, { stdout: 'ignore', stderr: 'inherit' })
  if ((await child.exited) !== 0) throw new Error('oha failed')
  const rows = new Database(database, { readonly: true })
    .query<{ status: number; duration: number }, []>('SELECT status, duration FROM oha')
    .all()
  const byStatus = Map.groupBy(rows, ({ status }) => status)
  return [...byStatus].map(([status, answers]) => toAnswer(status, answers))
}

function toAnswer(status: number, answers: readonly { duration: number }[]): Answer {
  const ms = answers.map(({ duration }) => duration * 1000).sort((a, b) => a - b)
  const at = (share: number) => ms[Math.floor(ms.length * share)] ?? 0
  return { status, count: ms.length, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) }
}

/** Without uuid and timestamp the events are never duplicates, so one body serves the whole run. */
function createBody(): Uint8Array {
  const request = JSON.parse(toBatch())
  for (const event of request.batch) {
    delete event.uuid
    delete event.timestamp
  }
  return gzipSync(JSON.stringify(request))
}

const countOf = (answers: readonly Answer[], status: number) =>
  answers.find((answer) => answer.status === status)?.count ?? 0

async function main(folder: string): Promise<boolean> {
  await Bun.write(join(folder, 'body.gz'), createBody())
  const server = await startBench(folder, 'overload')
  try {
    const full = ['-z', `${capacitySeconds}s`, '-c', '64']
    const first = await attack({ folder, server, name: 'capacity', arguments: full })
    const capacity = Math.round(countOf(first, 200) / capacitySeconds)
    await settle(server.url)
    const rate = Math.round(capacity * Number(values.times))
    console.error(`capacity ${capacity} requests/s; offering ${rate}/s for ${values.seconds} s`)
    const open = ['-z', `${values.seconds}s`, '-c', values.connections, '-q', String(rate)]
    const memory: number[] = []
    const timer = setInterval(() => memory.push(readRssBytes(server.pid)), 250)
    const second = await attack({ folder, server, name: 'overload', arguments: open })
    clearInterval(timer)
    const growth = toGrowth(memory)
    await settle(server.url)
    const acknowledged = (countOf(first, 200) + countOf(second, 200)) * eventsPerRequest
    const stored = await server.count('events')
    return report({ answers: second, acknowledged, stored, growth, capacity, rate })
  } finally {
    await server.stop()
  }
}

/**
 * Mean of the last third of the samples over the mean of the second: memory rises and falls with
 * each collection.
 */
function toGrowth(samples: readonly number[]): number {
  const third = Math.floor(samples.length / 3)
  const mean = (some: readonly number[]) => some.reduce((sum, one) => sum + one, 0) / some.length
  return mean(samples.slice(2 * third)) / mean(samples.slice(third, 2 * third))
}

type Outcome = {
  answers: readonly Answer[]
  acknowledged: number
  stored: number
  growth: number
  capacity: number
  rate: number
}

function report(outcome: Outcome): boolean {
  const { answers, acknowledged, stored, growth } = outcome
  const accepted = answers.find(({ status }) => status === 200)
  const faults = {
    'no request was accepted': accepted === undefined,
    'accepted requests are slow': (accepted?.p95Ms ?? 0) >= p95MsMax,
    'other answers than 200 and 503': answers.some(
      ({ status }) => status !== 200 && status !== 503,
    ),
    'acknowledged events are lost': stored < acknowledged,
    'memory grew': growth > growthMax,
  }
  const found = Object.entries(faults).flatMap(([fault, isSo]) => (isSo ? [fault] : []))
  console.log(JSON.stringify({ ...outcome, faults: found }))
  console.log(found.length === 0 ? 'PASS' : `FAIL: ${found.join(', ')}`)
  return found.length === 0
}

if (!Bun.which('oha')) {
  console.error('oha is missing; install it: cargo install oha --locked')
  process.exit(2)
}
const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
let passed = false
try {
  passed = await main(folder)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit(passed ? 0 : 1)
