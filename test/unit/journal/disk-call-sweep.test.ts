import { expect, test } from 'bun:test'
import type { StoredRecord } from '../../../src/core/record.ts'
import type { Journal } from '../../../src/journal/journal.ts'
import { until } from '../../support/until.ts'
import { createFakeDisk, type DiskCall, type FakeDisk, toError } from './fake-disk.ts'
import { createRecordingLog, openOn, toName, toRecord } from './support.ts'

/** Three small records fill a segment. */
const segmentBytes = 1536
const unknownOutcome = new Promise<never>(() => {})

/** The appends of a run, and the answers of the journal. Names are in the order of their appends. */
type Ledger = {
  acknowledged: string[]
  refused: string[]
  /** Records below it were released: they may be gone, in whole segments. */
  released: number
  /** Called after each refused append. */
  onRefused(): void
  log: ReturnType<typeof createRecordingLog>
}

const createLedger = (): Ledger => ({
  acknowledged: [],
  refused: [],
  released: 0,
  onRefused() {},
  log: createRecordingLog(),
})

/** Opens twice; appends alone, together, and more than a segment holds; rotates; unlinks. */
async function runScenario(disk: FakeDisk, ledger: Ledger): Promise<void> {
  await live(disk, ledger, async (journal) => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await append(journal, ledger, [name])
    await Promise.all([
      append(journal, ledger, ['f', 'g']),
      append(journal, ledger, ['h']),
      append(journal, ledger, ['i']),
    ])
    await release(journal, ledger, 4)
    await append(journal, ledger, ['large'], 'x'.repeat(3 * segmentBytes))
    await append(journal, ledger, ['j'])
  })
  await live(disk, ledger, async (journal) => {
    await append(journal, ledger, ['k'])
    await release(journal, ledger, ledger.acknowledged.length)
    await append(journal, ledger, ['l', 'm'])
  })
}

/** One life of the journal, from opening to closing. Both may fail; neither may leave files open. */
async function live(disk: FakeDisk, ledger: Ledger, run: (journal: Journal) => Promise<void>) {
  const journal = await openOn(disk, { segmentBytes, log: ledger.log }).catch(() => undefined)
  if (journal) {
    await run(journal)
    await journal.close().catch(() => {})
  }
  expect(disk.openFiles).toBe(0)
}

async function append(journal: Journal, ledger: Ledger, names: string[], padding = '') {
  const records = names.map((name) => toRecord(name, JSON.stringify({ name, padding })))
  const isTaken = await journal.append(records).then(
    () => true,
    () => false,
  )
  ledger[isTaken ? 'acknowledged' : 'refused'].push(...names)
  if (!isTaken) ledger.onRefused()
}

async function release(journal: Journal, ledger: Ledger, offset: number) {
  ledger.released = offset
  await journal.release(offset)
}

/** Fails the test when a promise of the run never settles. */
async function settles(run: Promise<void>): Promise<void> {
  let isSettled = false
  const settled = run.finally(() => {
    isSettled = true
  })
  await Promise.race([settled, until(() => isSettled, { timeoutMs: 5000, what: 'an answer' })])
  await settled
}

/** Opens the journal on a healthy disk and holds its records against the ledger. */
async function check(disk: FakeDisk, ledger: Ledger, unknown: readonly string[] = []) {
  disk.fault = () => undefined
  const journal = await openOn(disk, { segmentBytes })
  const found = await recordsIn(journal)
  const names = found.map(toName)
  const offsets = found.map(({ offset }) => offset)
  const { acknowledged, refused, released, log } = ledger
  const expected = acknowledged.slice(-acknowledgedIn(names, acknowledged) || acknowledged.length)
  const extra = names.slice(expected.length)

  expect(names.slice(0, expected.length)).toEqual(expected)
  expect(acknowledged.length - expected.length).toBeLessThanOrEqual(released)
  expect(extra.filter((name) => !unknown.includes(name))).toEqual(
    log.lines.includes(mayReturn) ? extra.filter((name) => refused.includes(name)) : [],
  )
  expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b))

  expect(journal.stats().damages).toBe(0)
  await journal.append([toRecord('after')])
  expect((await recordsIn(journal)).map(toName)).toEqual([...names, 'after'])
  await journal.close()
  expect(disk.openFiles).toBe(0)
}

const mayReturn = 'error: cannot make a refusal durable; a restart may bring the commit back'

const acknowledgedIn = (names: readonly string[], acknowledged: readonly string[]) =>
  names.filter((name) => acknowledged.includes(name)).length

async function recordsIn(journal: Journal): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  await journal.replay((record) => records.push(record))
  return records
}

/** The disk calls of the scenario without a failure, in order. */
async function countCalls(): Promise<DiskCall[]> {
  const disk = createFakeDisk()
  const calls: DiskCall[] = []
  disk.fault = (call) => void calls.push(call)
  const ledger = createLedger()
  await runScenario(disk, ledger)
  expect(ledger.refused).toEqual([])
  await check(disk, ledger)
  return calls
}
const calls = await countCalls()

/** Which calls a failure kind may hit, and what the disk answers. */
const failures: [string, readonly DiskCall[], Error | number][] = [
  ['fails with EIO', [...new Set(calls)], toError('EIO')],
  ['fails with ENOSPC', ['open', 'write', 'sync', 'dataSync', 'syncFolder'], toError('ENOSPC')],
  ['is a short write', ['write'], 7],
]

test('the scenario makes every kind of disk call but link, which only damage asks for', () => {
  const kinds: DiskCall[] = [
    'close',
    'dataSync',
    'list',
    'makeFolder',
    'open',
    'read',
    'rename',
    'sync',
  ]
  expect([...new Set(calls)].sort()).toEqual([
    ...kinds,
    'syncFolder',
    'truncate',
    'unlink',
    'write',
  ])
})

for (const [what, kinds, verdict] of failures)
  test(`keeps what it acknowledged, and only that, when any one disk call ${what}`, async () => {
    for (const [index, call] of calls.entries()) {
      if (!kinds.includes(call)) continue
      const disk = createFakeDisk()
      const ledger = createLedger()
      let made = 0
      disk.fault = () => (made++ === index ? verdict : undefined)
      await explain(`call ${index}, ${call}`, async () => {
        await settles(runScenario(disk, ledger))
        await check(disk, ledger)
      })
    }
  }, 60_000)

test('keeps what it acknowledged when the disk fails from any call on', async () => {
  for (const [index, call] of calls.entries()) {
    const disk = createFakeDisk()
    const ledger = createLedger()
    let made = 0
    disk.fault = () => (made++ >= index ? toError('EIO') : undefined)
    await explain(`from call ${index}, ${call}`, async () => {
      await settles(runScenario(disk, ledger))
      await check(disk, ledger)
    })
  }
}, 60_000)

const endings: [string, (disk: FakeDisk) => void][] = [
  ['the process is killed', (disk) => disk.kill()],
  ['power fails and unsynced writes are kept', (disk) => disk.crash(() => true)],
  ['power fails and unsynced writes are lost', (disk) => disk.crash(() => false)],
]

for (const [what, end] of endings)
  test(`keeps what it acknowledged when ${what} at any disk call`, async () => {
    for (const [index, call] of calls.entries()) {
      const disk = createFakeDisk()
      const ledger = createLedger()
      let made = 0
      const died = Promise.withResolvers<void>()
      disk.fault = () => {
        if (made++ < index) return undefined
        died.resolve()
        return unknownOutcome
      }
      await explain(`call ${index}, ${call}`, async () => {
        await Promise.race([runScenario(disk, ledger), died.promise])
        end(disk)
        await check(disk, ledger, unanswered(ledger))
      })
    }
  }, 60_000)

for (const [what, end] of endings)
  test(`keeps a commit refused when ${what} right after the refusal`, async () => {
    for (const [index, call] of calls.entries()) {
      const disk = createFakeDisk()
      const ledger = createLedger()
      let made = 0
      disk.fault = () => (made++ === index ? toError('EIO') : undefined)
      const died = Promise.withResolvers<void>()
      ledger.onRefused = () => {
        ledger.onRefused = () => {} // Requests that share a commit are refused together.
        end(disk)
        died.resolve()
      }
      await explain(`call ${index}, ${call}`, async () => {
        await Promise.race([runScenario(disk, ledger), died.promise])
        await check(disk, ledger, unanswered(ledger))
      })
    }
  }, 60_000)

const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'large', 'j', 'k', 'l', 'm']
const unanswered = ({ acknowledged, refused }: Ledger) =>
  all.filter((name) => !acknowledged.includes(name) && !refused.includes(name))

async function explain(which: string, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    throw new Error(`${which}: ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}
