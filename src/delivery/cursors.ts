import { Database } from 'bun:sqlite'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { SinkName } from '../core/sink.ts'

/**
 * Records under way to a sink that delivers exactly once, as written down before they were sent.
 */
export type Pending = {
  firstOffset: number
  lastOffset: number
  /** Which attempt at them it is; part of every insert's token. */
  attempt: string
}

/** Where each sink stands in one journal. Every write is on disk when its call returns. */
export type Cursors = {
  /** The next offset to ship; undefined where the sink has not shipped from this journal. */
  offset(sink: SinkName): number | undefined
  pending(sink: SinkName): Pending | undefined
  begin(sink: SinkName, pending: Pending): void
  /** Everything before `offset` is on the sink's disk: what was pending is settled. */
  advance(sink: SinkName, offset: number): void
  close(): void
}

/**
 * Throws where the file cannot be opened or is no database: without cursors nothing may be shipped.
 */
export function openCursors({ dir, journalId }: { dir: string; journalId: string }): Cursors {
  mkdirSync(dir, { recursive: true })
  const database = openDatabase(toPath(dir))
  const find = database.query<Row, Key>(
    'SELECT next, first, last, attempt FROM cursors WHERE journal = $journal AND sink = $sink',
  )
  const begin = database.query<null, Key & Pending>(`
    INSERT INTO cursors (journal, sink, first, last, attempt)
    VALUES ($journal, $sink, $firstOffset, $lastOffset, $attempt)
    ON CONFLICT DO UPDATE
    SET first = excluded.first, last = excluded.last, attempt = excluded.attempt`)
  const advance = database.query<null, Key & { offset: number }>(`
    INSERT INTO cursors (journal, sink, next) VALUES ($journal, $sink, $offset)
    ON CONFLICT DO UPDATE SET next = excluded.next, first = NULL, last = NULL, attempt = NULL`)
  const keyOf = (sink: SinkName): Key => ({ journal: journalId, sink })

  return {
    offset: (sink) => find.get(keyOf(sink))?.next ?? undefined,
    pending: (sink) => toPending(find.get(keyOf(sink))),
    begin: (sink, pending) => void begin.run({ ...keyOf(sink), ...pending }),
    advance: (sink, offset) => void advance.run({ ...keyOf(sink), offset }),
    close: () => database.close(),
  }
}

/** Where each sink stands in one journal, as an earlier process wrote it down. */
export function loadOffsets({
  dir,
  journalId,
}: {
  dir: string
  journalId: string
}): Partial<Record<SinkName, number>> {
  if (!existsSync(toPath(dir))) return {}
  const cursors = openCursors({ dir, journalId })
  try {
    const names: SinkName[] = ['clickhouse', 'kafka']
    return Object.fromEntries(names.map((name) => [name, cursors.offset(name) ?? 0]))
  } finally {
    cursors.close()
  }
}

/**
 * Behind everything that any sink has shipped or sent, of whatever journal; 0 where nothing is
 * written down.
 */
export function loadFurthestOffset(dir: string): number {
  if (!existsSync(toPath(dir))) return 0
  const database = openDatabase(toPath(dir))
  try {
    const sql =
      'SELECT max(max(coalesce(next, 0), coalesce(last, -1) + 1)) AS furthest FROM cursors'
    return database.query<{ furthest: number | null }, []>(sql).get()?.furthest ?? 0
  } finally {
    database.close()
  }
}

const toPath = (dir: string) => join(dir, 'cursors.sqlite')

type Key = { journal: string; sink: SinkName }

/**
 * The rollback journal is kept, and overwritten in place like the database: cursors can be written
 * on a full disk, and must be, since only then the journal's segments go and make room.
 */
function openDatabase(path: string): Database {
  const database = new Database(path, { create: true, strict: true })
  database.run('PRAGMA journal_mode = PERSIST')
  database.run('PRAGMA synchronous = FULL')
  database.run(`CREATE TABLE IF NOT EXISTS cursors (
    journal TEXT NOT NULL, sink TEXT NOT NULL, next INTEGER,
    first INTEGER, last INTEGER, attempt TEXT,
    PRIMARY KEY (journal, sink)) WITHOUT ROWID`)
  // Of no journal. The first change to a page takes room in the rollback journal: not only once the disk is full.
  database.run(
    `INSERT INTO cursors (journal, sink) SELECT '', '' WHERE NOT EXISTS (SELECT 1 FROM cursors)`,
  )
  return database
}

type Row = {
  next: number | null
  first: number | null
  last: number | null
  attempt: string | null
}

function toPending(row: Row | null): Pending | undefined {
  if (row === null || row.first === null || row.last === null || row.attempt === null) return
  return { firstOffset: row.first, lastOffset: row.last, attempt: row.attempt }
}
