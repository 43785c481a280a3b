import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { logLines } from '../../support/log-lines.ts'
import { scrape } from '../../support/metrics.ts'
import { type Spillway, startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { startClickHouse } from '../clickhouse.ts'
import { shared } from '../shared.ts'

/** The folder of version 0.1.0, whose events wait in part in its journal (test/fixtures/folder-0.1). */
setDefaultTimeout(180_000)

const fixture = join(import.meta.dir, '../../fixtures/folder-0.1')
type Rows = { events: { event: string; rows: number }[]; link_events: number; recordings: number }
const expected: Rows = JSON.parse(readFileSync(join(fixture, 'rows.json'), 'utf8'))
const waiting = expected.events.filter(({ event }) => event.startsWith('waiting'))

function unpack(into: string): void {
  const archive = join(fixture, 'folder.tar.gz')
  const { exitCode, stderr } = Bun.spawnSync(['tar', 'xzf', archive, '-C', into])
  if (exitCode !== 0) throw new Error(`tar failed: ${stderr}`)
}

async function readRows(server: Spillway): Promise<Rows> {
  const events = await server.query<{ event: string; rows: string }>(
    'SELECT event, count() AS rows FROM events GROUP BY event ORDER BY event',
  )
  const [others] = await server.query<{ link_events: string; recordings: string }>(
    'SELECT (SELECT count() FROM link_events) AS link_events, (SELECT count() FROM recordings) AS recordings',
  )
  return {
    events: events.map(({ event, rows }) => ({ event, rows: Number(rows) })),
    link_events: Number(others!.link_events),
    recordings: Number(others!.recordings),
  }
}

const drained = (server: Spillway) =>
  until(async () => (await scrape(server.url))('spillway_sink_waiting_records') === 0, {
    ...{ timeoutMs: 60_000, pauseMs: 50, what: 'an empty backlog' },
  })

const errorsOf = (server: Spillway) =>
  logLines<{ level: unknown; msg: string }>(server).flatMap(({ level, msg }) =>
    [50, 'error'].includes(level as never) ? [msg] : [],
  )

describe('a folder of version 0.1.0', () => {
  test('opens: what waited is delivered, and queries answer', async () => {
    using folder = temporaryFolder()
    unpack(folder.path)
    await using server = await startSpillway({ DATA_DIR: folder.path })
    await drained(server)
    expect(await readRows(server)).toEqual(expected)
    const persons = await server.query<{ n: string }>('SELECT count() AS n FROM persons')
    expect(Number(persons[0]!.n)).toBeGreaterThan(20)
    expect(errorsOf(server)).toEqual([])
    expect(await server.stop()).toBe(0)
    await server.start()
    expect(await readRows(server)).toEqual(expected)
  })

  test('is delivered to a ClickHouse server, without what the embedded one has', async () => {
    const clickhouse = await startClickHouse()
    try {
      using folder = temporaryFolder()
      unpack(folder.path)
      await using server = await startSpillway({
        ...{ DATA_DIR: folder.path, CLICKHOUSE_URL: `${clickhouse.url}/old` },
      })
      await drained(server)
      expect((await readRows(server)).events).toEqual(waiting)
      expect(errorsOf(server)).toEqual([])
    } finally {
      await clickhouse.stop()
    }
  })

  test('is delivered by workers', async () => {
    const clickhouse = await startClickHouse()
    try {
      using folder = temporaryFolder()
      unpack(folder.path)
      await using server = await startSpillway({
        ...{ DATA_DIR: folder.path, CLICKHOUSE_URL: `${clickhouse.url}/old_workers` },
        ...{ WORKERS: '2', REDIS_URL: await shared.redis(), REDIS_PREFIX: crypto.randomUUID() },
        REALTIME_PORT: '0',
      })
      const isDelivered = () =>
        readRows(server).then(
          ({ events }) => JSON.stringify(events) === JSON.stringify(waiting),
          () => false,
        )
      await until(isDelivered, { timeoutMs: 60_000, what: 'the events that waited' })
    } finally {
      await clickhouse.stop()
    }
  })
})
