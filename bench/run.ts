import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Floor, toFloorText } from './cpu-floor.ts'
import { describeMachine } from './machine.ts'
import { measureScenario, type Row, warmUpSeconds } from './measure.ts'
import { toPicture } from './picture.ts'
import { requirePool } from './pool.ts'
import { needsPool, scenarios } from './scenarios.ts'
import { type ServicesMode, startServices } from './server.ts'
import { runSoak } from './soak.ts'
import { toTable, toThreadTable } from './table.ts'
import { requireWrk } from './wrk.ts'

const usage = `bun run bench [name…] [--alone | --kafka] [--seconds N] [--connections N] [--write] [--soak]

  name           ${Object.keys(scenarios).join(' ')}; all of them without a name
  --alone        no Kafka and no Redis, embedded ClickHouse; otherwise real services are started
  --kafka        Kafka alone (SINKS=kafka)
  --write        write bench/results/results.md and results.svg
  --soak         one scenario (single) for 10 minutes, or --seconds: memory, lag, errors`

async function main(): Promise<number> {
  const { values, positionals } = readArguments()
  const names = positionals.length > 0 ? positionals : Object.keys(scenarios)
  requireWrk()
  const seconds = Number(values.seconds ?? 10)
  if (!values.soak && needsPool(names)) await requirePool(Math.max(2 * warmUpSeconds, seconds))
  const folder = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
  const services = await startServices(toMode(values))
  const given = { folder, environment: services.environment }
  const connections = Number(values.connections)
  try {
    if (values.soak) {
      const pace = { seconds: Number(values.seconds ?? 600), connections }
      return (await runSoak(positionals[0] ?? 'single', { ...given, pace })) ? 0 : 1
    }
    const pace = { seconds, connections }
    const rows: Row[] = []
    for (const name of names)
      rows.push(await measureScenario(name, scenarios[name]!, { ...given, pace }))
    const floor = needsPool(names) ? [toFloorText(await readFloor())] : []
    await report(rows, floor, values)
    return rows.every(({ passed }) => passed) ? 0 : 1
  } finally {
    await services.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

const toMode = ({ alone, kafka }: { alone: boolean; kafka: boolean }): ServicesMode =>
  kafka ? 'kafka' : alone ? 'alone' : 'all'

const captions: Record<ServicesMode, string> = {
  all: 'with Kafka, ClickHouse and Redis',
  alone: 'alone, embedded ClickHouse',
  kafka: 'Kafka alone',
}

function readArguments() {
  const options = {
    alone: { type: 'boolean', default: false },
    kafka: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    soak: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    connections: { type: 'string', default: '64' },
  } as const
  try {
    const read = parseArgs({ args: process.argv.slice(2), options, allowPositionals: true })
    const unknown = read.positionals.filter((name) => !(name in scenarios))
    if (unknown.length > 0) throw new Error(`no such scenario: ${unknown.join(', ')}`)
    for (const name of ['seconds', 'connections'] as const)
      if (!/^[1-9]\d*$/.test(read.values[name] ?? '1'))
        throw new Error(`--${name} must be a whole number above zero`)
    return read
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`)
    process.exit(2)
  }
}

/** In a process of its own: no other code has warmed up or filled its heap. */
async function readFloor(): Promise<Floor> {
  console.error('batch-gzip: decode to encode, in process')
  const child = Bun.spawn(['bun', join(import.meta.dir, 'cpu-floor.ts'), '--json'], {
    stdout: 'pipe',
    stderr: 'inherit',
  })
  return (await new Response(child.stdout).json()) as Floor
}

type Report = { alone: boolean; kafka: boolean; write: boolean }

async function report(rows: readonly Row[], notes: readonly string[], options: Report) {
  const command = `bun run bench ${process.argv.slice(2).join(' ')}`.trim()
  const caption = `${describeMachine()}; ${captions[toMode(options)]}`
  const tables = [toTable(rows), toThreadTable(rows), ...notes].join('\n\n')
  console.log(tables)
  if (!options.write) return
  const text = `# Results\n\n\`${command}\`, ${new Date().toISOString().slice(0, 10)}. ${caption}.\n\n${tables}\n\n![Requests a second](results.svg)\n`
  await Bun.write(join(import.meta.dir, 'results', 'results.md'), text)
  await Bun.write(join(import.meta.dir, 'results', 'results.svg'), toPicture(rows, caption))
  console.error('wrote bench/results/results.md and bench/results/results.svg')
}

process.exit(await main())
