import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CpuUse, readCpu, readRssBytes, toCpuUse } from './cpu.ts'
import { type Launched, launch } from './launch.ts'
import { makePool } from './pool.ts'
import { freePort, settledRows } from './rows.ts'
import { type Row, toTable } from './table.ts'
import { requireWrk, runWrk, type WrkResult } from './wrk.ts'

/** `bun run bench [name…]`: each scenario against the bare baseline and against the server, in one run. */
const scenarios: Record<string, { script: string; eventsPerRequest: number }> = {
  single: { script: 'single.lua', eventsPerRequest: 1 },
  'batch-gzip': { script: 'batch-gzip.lua', eventsPerRequest: 50 },
}

const seconds = Number(process.env.BENCH_SECONDS ?? 8)
const connections = Number(process.env.BENCH_CONNECTIONS ?? 64)
const root = join(import.meta.dir, '..')

type Measured = WrkResult & CpuUse & { rssBytes: number }

async function measure(server: Launched, script: string, wrap: boolean): Promise<Measured> {
  await runWrk({ url: server.url, script, seconds: 1, connections }, wrap)
  const before = readCpu(server.pid)
  const result = await runWrk({ url: server.url, script, seconds, connections }, wrap)
  const use = toCpuUse(server.pid, before, readCpu(server.pid))
  return { ...result, ...use, rssBytes: readRssBytes(server.pid) }
}

async function measureBaseline(folder: string, script: string): Promise<Measured> {
  const server = await launch(join(root, 'bench/baseline.ts'), {}, join(folder, 'baseline.log'))
  try {
    return await measure(server, script, true)
  } finally {
    await server.stop()
  }
}

async function measureSpillway(
  folder: string,
  name: string,
): Promise<Measured & { stored: number }> {
  const { script } = scenarios[name]!
  const queryPort = freePort()
  const environment = {
    PORT: '0',
    HOST: '127.0.0.1',
    NODE_ENV: 'production',
    DATA_DIR: join(folder, name),
    EMBEDDED_CLICKHOUSE_PORT: String(queryPort),
  }
  const server = await launch(join(root, 'src/main.ts'), environment, join(folder, `${name}.log`))
  try {
    const measured = await measure(server, script, false)
    return { ...measured, stored: await settledRows(queryPort) }
  } finally {
    await server.stop()
  }
}

async function run(name: string, folder: string): Promise<Row> {
  const { script, eventsPerRequest } = scenarios[name]!
  console.error(`${name}: baseline, ${seconds} s`)
  const baseline = await measureBaseline(folder, script)
  console.error(`${name}: spillway, ${seconds} s`)
  const spillway = await measureSpillway(folder, name)
  return { name, eventsPerRequest, baseline, spillway }
}

async function main(names: readonly string[]): Promise<boolean> {
  requireWrk()
  if (!(await Bun.file(join(import.meta.dir, '.pool/batch-gzip.bin')).exists())) {
    console.error('making the pool of distinct gzip batches once (bun run bench:pool)')
    await makePool(60_000, (done) => console.error(`${done} of 60000 bodies`))
  }
  const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
  try {
    const rows: Row[] = []
    for (const name of names) rows.push(await run(name, folder))
    console.log(toTable(rows))
    return rows.every(({ spillway }) => spillway.passed)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const asked = process.argv.slice(2).filter((word) => !word.startsWith('-'))
const unknown = asked.filter((name) => !(name in scenarios))
if (unknown.length > 0) {
  console.error(
    `no such scenario: ${unknown.join(', ')}; there are ${Object.keys(scenarios).join(', ')}`,
  )
  process.exit(2)
}
process.exit((await main(asked.length > 0 ? asked : Object.keys(scenarios))) ? 0 : 1)
