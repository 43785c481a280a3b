import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../src/config/config.ts'
import { silentLog } from '../src/core/log.ts'
import { createShipping } from '../src/delivery/shipping.ts'
import { openJournal } from '../src/journal/journal.ts'
import { createRecord, measure, type Run } from './kafka-records.ts'
import { startCommand } from './launch.ts'

/**
 * Measures how fast a prefilled journal drains into the embedded ClickHouse, in turn with chDB
 * alone on the same lines: `bun bench/clickhouse-drain.ts [records] [rounds]`. EVENTS_COLUMNS is passed on. Prints each run,
 * then the median ratio. Exits with 1 if the ratio is below 0.8.
 */
const count = Number(process.argv[2] ?? 2_000_000)
const rounds = Number(process.argv[3] ?? 3)
const ratioMin = 0.8
const recordsPerCommit = 500
const drainMsMax = 120_000
const mib = 1024 * 1024

type Prefilled = { dir: string; id: string; endOffset: number }

async function prefill(dir: string): Promise<Prefilled> {
  const bounds = { segmentBytes: 64 * mib, bytesMax: 2 ** 40 }
  const journal = await openJournal({
    ...{ dir, durability: 'disk', ...bounds, now: Date.now, log: silentLog },
    onCommitted() {},
  })
  for (let from = 0; from < count; from += recordsPerCommit) {
    const size = Math.min(recordsPerCommit, count - from)
    await journal.append(Array.from({ length: size }, (_, index) => createRecord(from + index)))
  }
  const { id, endOffset } = journal
  await journal.close()
  return { dir, id, endOffset }
}

function runBare(folder: string): Promise<Run> {
  const script = join(import.meta.dir, 'clickhouse-bare.ts')
  return runApart([script, folder, String(count)])
}

/** Runs the delivery thread of the server from the first to the last record of the journal. */
async function runShipping(journal: Prefilled, folder: string): Promise<Run> {
  const shipping = createShipping({
    ...{ journalDir: journal.dir, journalId: journal.id, endOffset: journal.endOffset },
    ...{ stateDir: join(folder, 'state'), log: silentLog },
    config: loadConfig({ DATA_DIR: folder, EVENTS_COLUMNS: process.env.EVENTS_COLUMNS }).config,
    onAdvanced() {},
  })
  // `drain` ships the last batch at once.
  const run = await measure('journal', count, async () => {
    await shipping.start()
    if (!(await shipping.drain(drainMsMax))) throw new Error('the journal was not drained')
  })
  await shipping.close()
  return run
}

/** Runs in a process of its own, like chDB alone. */
function runDrain(folder: string, journal: Prefilled): Promise<Run> {
  const words = ['--drain', folder, JSON.stringify(journal)]
  return runApart([import.meta.path, String(count), '1', ...words])
}

async function runApart(script: string[]): Promise<Run> {
  const child = Bun.spawn([...startCommand, ...script])
  return JSON.parse(await child.stdout.text())
}

async function main(folder: string): Promise<number> {
  console.error(`filling a journal with ${count} records`)
  const journal = await prefill(join(folder, 'journal'))
  const ratios: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const bare = await runBare(join(folder, `bare-${round}`))
    const ours = await runDrain(join(folder, `round-${round}`), journal)
    for (const run of [bare, ours]) console.log(JSON.stringify({ round, ...run }))
    ratios.push(ours.perSecond / bare.perSecond)
  }
  return ratios.sort((a, b) => a - b)[ratios.length >> 1]!
}

const [mode, place = '', given = ''] = process.argv.slice(4)
if (mode === '--drain') {
  console.log(JSON.stringify(await runShipping(JSON.parse(given), place)))
  process.exit()
}
const folder = mkdtempSync(join(tmpdir(), 'spillway-drain-'))
try {
  const ratio = await main(folder)
  console.log(JSON.stringify({ ratio: Number(ratio.toFixed(2)), wanted: ratioMin }))
  process.exitCode = ratio < ratioMin ? 1 : 0
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
