import { Database } from 'bun:sqlite'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type SinkName, type SinkOffsets, sinkNames } from '../core/sink.ts'

/**
 * A batch in flight to a sink that delivers exactly once. It is written to disk before it is sent.
 */
export type PendingRange = {
  firstOffset: number
  lastOffset: number
  /** Names the attempt; part of the deduplication token of every insert. */
  attempt: string
}

/** The cursor of each sink in one journal. Every write is on disk when its call returns. */
export type Cursors = {
  /** The next offset to ship. Undefined when the sink has shipped nothing from this journal. */
  offset(sink: SinkName): number | undefined
  pending(sink: SinkName): PendingRange | undefined
  begin(sink: SinkName, pending: PendingRange): void
  /** Every record below `offset` is on the sink's disk. Clears the pending range. */
  advance(sink: SinkName, offset: number): void
  close(): void
}

/**
 * Throws when the file cannot be opened or is not a database: without cursors a record could be
 * skipped.
 */
export function openCursors({ dir, journalId }: { dir: string; journalId: string }): Cursors {
  mkdirSync(dir, { recursive: true })
  const database = openDatabase(toPath(dir))
  const find = database.query<Row, Key>(
    'SELECT next, first, last, attempt FROM cursors WHERE journal = $journal AND sink = $sink',
  )
  const begin = database.query<null, Key & PendingRange>(`
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

/** The cursor of each sink in one journal, as an earlier process wrote it. */
export function loadOffsets({ dir, journalId }: { dir: string; journalId: string }): SinkOffsets {
  const sql = 'SELECT sink, next FROM cursors WHERE journal = ?'
  const rows = readRows<{ sink: string; next: number | null }>(dir, sql, journalId)
  if (rows === undefined) return {}
  const offsetOf = (name: SinkName) => rows.find(({ sink }) => sink === name)?.next ?? 0
  return Object.fromEntries(sinkNames.map((name) => [name, offsetOf(name)]))
}

/**
 * The offset after every record that any sink has shipped or sent, over all journals. 0 without a
 * cursor file.
 */
export function loadFurthestOffset(dir: string): number {
  const sql = 'SELECT max(max(coalesce(next, 0), coalesce(last, -1) + 1)) AS furthest FROM cursors'
  return readRows<{ furthest: number | null }>(dir, sql)?.[0]?.furthest ?? 0
}

/**
 * Writes nothing, because the disk may be full. Undefined without a file, and without the table: the
 * disk was full when the file was made, so nothing was shipped.
 */
export function readRows<Row>(dir: string, sql: string, ...values: string[]): Row[] | undefined {
  if (!existsSync(toPath(dir))) return undefined
  const database = new Database(toPath(dir))
  try {
    const findTable = `SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'cursors'`
    if (database.query(findTable).get() === null) return undefined
    return database.query<Row, string[]>(sql).all(...values)
  } finally {
    database.close()
  }
}

export const toPath = (dir: string) => join(dir, 'cursors.sqlite')

type Key = { journal: string; sink: SinkName }

/**
 * Cursors must be writable on a full disk: only then can segments of the journal be deleted, which
 * frees space. So keep SQLite's rollback journal and overwrite it in place, like the database.
 */
export function openDatabase(path: string): Database {
  const database = new Database(path, { create: true, strict: true })
  database.run('PRAGMA journal_mode = PERSIST')
  database.run('PRAGMA synchronous = FULL')
  database.run(`CREATE TABLE IF NOT EXISTS cursors (
    journal TEXT NOT NULL, sink TEXT NOT NULL, next INTEGER,
    first INTEGER, last INTEGER, attempt TEXT,
    PRIMARY KEY (journal, sink)) WITHOUT ROWID`)
  // A row of no journal. The first change of a page allocates space in the rollback journal, so make
  // it now and not when the disk is full.
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

function toPending(row: Row | null): PendingRange | undefined {
  if (row === null || row.first === null || row.last === null || row.attempt === null) return
  return { firstOffset: row.first, lastOffset: row.last, attempt: row.attempt }
}
