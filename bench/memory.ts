import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startClickHouse } from '../test/services/clickhouse.ts'
import { readCpu, readRssBytes, toCpuUse } from './cpu.ts'
import { requirePool } from './pool.ts'
import { settle } from './rows.ts'
import { scenarios } from './scenarios.ts'
import { type Bench, startBench } from './server.ts'
import { requireWrk, runWrk } from './wrk.ts'

const usage = `bun bench/memory.ts [SETTING=VALUE,…]… [--seconds N] [--connections N] [--scenario NAME]

Resident memory of the server, idle and under load (gzip batches of 50), one row for each argument:
settings, separated by commas, or \`default\`. \`remote\` stands for a ClickHouse in another process.
Without arguments: the rows of docs/sizing.md.`

const sizing = [
  'default',
  'DEDUP_BYTES_MAX=67108864',
  'RING_BYTES_MAX=16777216',
  'CLICKHOUSE_BYTES_MAX=16777216',
  'INTAKE_BYTES_MAX=67108864',
  'remote',
  'remote,RING_BYTES_MAX=16777216,INTAKE_BYTES_MAX=67108864',
]

const sampleMs = 250
/** Idle means that memory has stayed within a hundredth for so many samples. */
const calmSamples = 20
const calmShare = 0.01
const calmMsMax = 60_000

type Case = { name: string; environment: Record<string, string> }
type Load = { script: string; eventsPerRequest: number; seconds: number; connections: number }

async function measureCase({ name, environment }: Case, load: Load, folder: string) {
  const server = await startBench(folder, name.replaceAll(/\W+/g, '-'), environment)
  try {
    const idle = await readCalm(server)
    const warmUp = { url: server.url, ...load, seconds: Math.ceil(load.seconds / 3) }
    await runWrk(warmUp, 'tail')
    const samples: number[] = []
    const timer = setInterval(() => samples.push(readRssBytes(server.pid)), sampleMs)
    const [cpu, faults] = [readCpu(server.pid), readFaults(server.pid)]
    const result = await runWrk({ url: server.url, ...load }, 'once')
    clearInterval(timer)
    await settle(server.url)
    const events = (result.requests - result.errors) * load.eventsPerRequest
    const after = await readCalm(server)
    return {
      case: name,
      'idle MiB': toMib(idle),
      'load mean MiB': toMib(samples.reduce((sum, one) => sum + one, 0) / samples.length),
      'load peak MiB': toMib(Math.max(...samples)),
      'after MiB': toMib(after),
      'events/s': Math.round(events / result.seconds),
      'CPU µs/event': round(toCpuUse(cpu, readCpu(server.pid)).allUs / events),
      'page faults/event': round((readFaults(server.pid) - faults) / events),
      'P95 ms': result.p95_ms,
      errors: result.errors,
    }
  } finally {
    await server.stop()
  }
}

async function readCalm({ pid }: Bench): Promise<number> {
  const samples: number[] = []
  const deadlineMs = performance.now() + calmMsMax
  while (performance.now() < deadlineMs) {
    samples.push(readRssBytes(pid))
    const last = samples.slice(-calmSamples)
    const isCalm = Math.max(...last) - Math.min(...last) < calmShare * Math.max(...last)
    if (last.length === calmSamples && isCalm) break
    await Bun.sleep(sampleMs)
  }
  return samples.at(-1)!
}

/** Source: proc(5), /proc/pid/stat, field minflt: pages that the system allocated or mapped. */
function readFaults(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[7])
}

const toMib = (bytes: number) => Math.round(bytes / 1024 / 1024)
const round = (value: number) => Number(value.toFixed(2))

function toCase(name: string, remoteUrl: string | undefined): Case {
  const environment: Record<string, string> = {}
  for (const part of name.split(',')) {
    const [key = '', value = ''] = part.split('=')
    if (part === 'remote') environment.CLICKHOUSE_URL = remoteUrl ?? ''
    else if (part !== 'default') environment[key] = value
  }
  return { name, environment }
}

async function main(): Promise<void> {
  const options = {
    seconds: { type: 'string', default: '12' },
    connections: { type: 'string', default: '64' },
    scenario: { type: 'string', default: 'batch-gzip' },
  } as const
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  const scenario = scenarios[values.scenario]
  if (scenario === undefined) throw new Error(`no such scenario: ${values.scenario}`)
  requireWrk()
  const seconds = Number(values.seconds)
  await requirePool(seconds)
  const load = { ...scenario, seconds, connections: Number(values.connections) }
  const names = positionals.length > 0 ? positionals : sizing
  const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
  const isRemote = names.some((name) => name.split(',').includes('remote'))
  const clickhouse = isRemote ? await startClickHouse() : undefined
  try {
    const rows = []
    for (const name of names) {
      console.error(name)
      const row = await measureCase(toCase(name, clickhouse?.url), load, folder)
      console.error(JSON.stringify(row))
      rows.push(row)
    }
    console.table(rows)
  } finally {
    await clickhouse?.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv.includes('--help')) console.log(usage)
else await main()
process.exit(0)
