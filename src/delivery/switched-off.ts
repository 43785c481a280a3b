import type { Config } from '../config/config.ts'
import type { Log } from '../core/log.ts'
import { type SinkName, sinkNames } from '../core/sink.ts'
import { parseAbandonedSinks, parseEnabledSinks } from './create-sinks.ts'
import { openDatabase, readRows, toPath } from './cursors.ts'

export type SwitchOptions = {
  /** Folder of the cursors. */
  dir: string
  /** Holds records from `firstOffset` to below `endOffset`. */
  journal: { id: string; firstOffset: number; endOffset: number }
  config: Config
  log: Log
}

/**
 * Logs which sinks are switched on or off at this start. A sink that is off does not hold the journal
 * back, so this throws an Error with a text for the operator when such a sink lacks records and
 * SINKS_ABANDON does not name it. Writes nothing, because the disk may be full.
 */
export function checkSinks(options: SwitchOptions): void {
  const enabled = parseEnabledSinks(options.config)
  const state = readState(options.dir, options.journal.id)
  for (const sink of sinkNames) {
    const isOff = state.has(toOffName(sink))
    if (enabled.includes(sink)) {
      if (isOff) logReturn(sink, state, options)
    } else if (state.has(sink) && !isOff) checkLeaving(sink, state, options)
  }
}

/** Writes down which sinks are on. Call it when the shippers start. */
export function recordSinks(options: {
  dir: string
  journalId: string
  endOffset: number
  config: Config
}): void {
  const { dir, journalId, endOffset, config } = options
  const enabled = parseEnabledSinks(config)
  const state = readState(dir, journalId)
  const database = openDatabase(toPath(dir))
  const put = (sink: string, next: number | null) =>
    database
      .query('INSERT INTO cursors (journal, sink, next) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
      .run(journalId, sink, next)
  const remove = database.query('DELETE FROM cursors WHERE journal = ? AND sink = ?')
  try {
    for (const sink of sinkNames) {
      if (enabled.includes(sink)) {
        put(sink, null)
        remove.run(journalId, toOffName(sink))
      } else if (state.has(sink)) put(toOffName(sink), endOffset)
    }
    if (!state.isRecorded) database.run(`PRAGMA user_version = ${recordedVersion}`)
  } finally {
    database.close()
  }
}

/**
 * A row of this name says that the sink is switched off. It is in the cursors' table, because on a full
 * disk there is no space for another table.
 */
const toOffName = (sink: SinkName) => `off:${sink}`

/** A server before this version of the file has not recorded which sinks were on. */
const recordedVersion = 1

type State = {
  isRecorded: boolean
  has(row: string): boolean
  /** The first offset that the sink does not have. */
  next(sink: SinkName): number
}

function readState(dir: string, journalId: string): State {
  type Row = { sink: string; next: number | null }
  const sql = 'SELECT sink, next FROM cursors WHERE journal = ?'
  const rows = new Map(readRows<Row>(dir, sql, journalId)?.map(({ sink, next }) => [sink, next]))
  const version = readRows<{ user_version: number }>(dir, 'PRAGMA user_version')?.[0]
  return {
    isRecorded: (version?.user_version ?? 0) >= recordedVersion,
    has: (row) => rows.has(row),
    next: (sink) => rows.get(sink) ?? 0,
  }
}

function logReturn(sink: SinkName, state: State, { journal, log }: SwitchOptions): void {
  const next = state.next(sink)
  const from = Math.max(next, journal.firstOffset)
  const fields = { sink, from, missing: from - next }
  if (from > next)
    log.warn(fields, 'sink is on again; records before `from` are no longer in the journal')
  else log.info(fields, 'sink is on again; it gets all records since it was switched off')
}

function checkLeaving(sink: SinkName, state: State, options: SwitchOptions): void {
  const { journal, config, log } = options
  const missing = journal.endOffset - Math.max(state.next(sink), journal.firstOffset)
  const isAbandoned = parseAbandonedSinks(config).includes(sink)
  if (missing > 0 && state.isRecorded && !isAbandoned)
    throw new Error(
      `${toAbsence(sink)} lacks ${missing} records of the journal. Start with it until ` +
        `spillway_sink_waiting_records is 0, or give these records up for it: SINKS_ABANDON=${sink}`,
    )
  if (missing > 0) log.warn({ sink, missing }, 'sink is switched off; it never gets these records')
  else log.info({ sink }, 'sink is switched off; it has all records of the journal')
}

const toAbsence = (sink: SinkName) =>
  sink === 'archive' ? 'ARCHIVE is not set, and the archive' : `SINKS does not name ${sink}, which`
