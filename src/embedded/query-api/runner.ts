import { writeSync } from 'node:fs'
import {
  type ChdbConnection,
  type InsertStream,
  openConnection,
  type Result,
  type Summary,
} from '../chdb/connection.ts'
import { createQueryError, QueryError } from '../chdb/exceptions.ts'
import type { Native } from '../chdb/native.ts'
import { countWriteFailures, createWriteWatch, type WriteWatch } from '../chdb/write-failures.ts'
import type { Job, JobStart } from './executor.ts'
import { assertHarmless, assertParsable, assertRead } from './guard.ts'
import { inspectorSettings, type Mode, toSetStatement } from './settings.ts'
import {
  extractSettings,
  parseStatement,
  type Statement,
  toExecutable,
  toSyntaxTree,
} from './statement.ts'

/**
 * Runs statements, each on a connection of its own, so that its settings do not reach the next one.
 * Every call blocks the thread, the asynchronous ones too.
 */
export type Runner = {
  /** Runs a statement to its end. Rejects with QueryError. */
  run(job: Job, onStart: (start: JobStart) => void): Promise<Summary>
  /** Throws QueryError. */
  startInsert(job: Job): RunningInsert
}

/** `finish` and `cancel` close the connection. */
export type RunningInsert = Omit<InsertStream, 'finish'> & { finish(): Promise<Result> }

export function createRunner({ native, path, mode }: RunnerOptions): Runner {
  // Never runs with a client's settings: a limit on rows, for example, would cut off the syntax
  // tree.
  const inspector = openConnection(native, path)
  inspector.query(toSetStatement(inspectorSettings))
  const tableFunctions = readTableFunctions(inspector)
  const tables = createTableList(inspector)
  const writes = mode === 'writable' ? createTableWatch(openConnection(native, path)) : undefined

  async function run(job: Job, onStart: (start: JobStart) => void): Promise<Summary> {
    const connection = openConnection(native, path)
    try {
      if (mode === 'read-only') assertParsable(job.sql)
      const parsed = parseStatement(inspector, job.sql)
      const { statement, settings, unsure } =
        mode === 'read-only' ? inspect(parsed, job) : { ...job, statement: parsed, unsure: [] }
      prepare(connection, { ...job, settings })
      onStart({ format: statement.format ?? job.format, isRead: statement.kind === 'read' })
      return withUniformErrors(unsure, () => execute({ connection, statement, job }))
    } finally {
      connection.close()
      // A part that a merge has just broken fails reads until it is set aside.
      await writes?.settle()
    }
  }

  async function assertWritten(): Promise<void> {
    if (!writes) return
    const failuresBefore = writes.failures
    if ((await writes.settle()) === failuresBefore) return
    throw createQueryError('CANNOT_WRITE_TO_FILE_DESCRIPTOR', 'A write to the disk failed')
  }

  function inspect(parsed: Statement, { parameters, database, settings: given }: Job) {
    const { statement: rest, settings } = extractSettings(parsed, given)
    // Again, because some settings make chDB classify a SELECT as control. `execute` relies on it.
    const { kind } = inspector.classify(rest.head)
    const statement = { ...rest, kind }
    assertRead(statement)
    const tree = toSyntaxTree(inspector, { head: statement.head, parameters })
    const isTable = tables.lookUp(database ?? 'default')
    const inspected = { statement, tree, parameters, tableFunctions, isTable }
    const { isAbsent, unsure } = assertHarmless(inspected)
    if (!isAbsent) return { statement, settings, unsure }
    const head = 'SELECT toUInt8(0) AS result'
    return { statement: { ...statement, head, tokens: [] }, settings, unsure }
  }

  function startInsert(job: Job): RunningInsert {
    const connection = openConnection(native, path)
    try {
      prepare(connection, job)
      const insert = connection.openInsert(job.sql, job.format, job.parameters)
      return withConnection(insert, connection, assertWritten)
    } catch (error) {
      connection.close()
      throw error
    }
  }
  return { run, startInsert }
}

type RunnerOptions = { native: Native; path: string; mode: Mode }

function prepare(connection: ChdbConnection, { database, settings }: Job): void {
  if (database) connection.query(`USE \`${database.replace(/[\\`]/g, '\\$&')}\``)
  connection.query(toSetStatement(settings))
}

type Execution = { connection: ChdbConnection; statement: Statement; job: Job }

/** Runs the inspected text, which ClickHouse has formatted, and never the text of the client. */
function execute({ connection, statement, job }: Execution): Summary {
  const { head, format = job.format, tail, tokens, kind } = statement
  const isKill = head.startsWith('KILL ')
  const text = toExecutable(
    head,
    tokens.filter((token) => token.end <= head.length),
  )
  const { parameters } = job
  if (kind === 'read' && /^(SELECT|WITH|\()/.test(head)) {
    const target = `INTO OUTFILE '${descriptorFolder}/${job.outputFd}' APPEND`
    const sql = `${text} ${target} FORMAT ${format}${tail}`
    return connection.query(sql, { parameters }).summary
  }
  // Other statements have small results. Writes run as sent: ClickHouse masks passwords when it
  // formats.
  const sql = kind === 'read' || isKill ? `${text}${tail}` : job.sql
  const { bytes, summary } = connection.query(sql, { format, parameters })
  for (let written = 0; written < bytes.length; ) written += writeSync(job.outputFd, bytes, written)
  return summary
}

/**
 * Folder in which a file descriptor can be opened as a file: chDB streams results only to files.
 */
const descriptorFolder = process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd'

/**
 * Watches all MergeTree tables, as a ClickHouse server would report a failed write to any of them.
 */
function createTableWatch(connection: ChdbConnection): WriteWatch {
  const read = async (sql: string) => new TextDecoder().decode(connection.query(sql).bytes)
  return createWriteWatch({
    countFailures: async () => countWriteFailures(connection),
    tables: async () => (await read(listTables)).split('\n').filter(Boolean),
    run: read,
    failures: countWriteFailures(connection),
  })
}

const listTables = `SELECT concat('"', database, '"."', name, '"') FROM system.tables
WHERE database != 'system' AND endsWith(engine, 'MergeTree')`

const readTableFunctions = (connection: ChdbConnection) =>
  readNames(connection, 'SELECT lower(name) FROM system.table_functions')

/** All tables, without files. Read again when a name is missing, at most once for a statement. */
function createTableList(connection: ChdbConnection) {
  const read = () => readNames(connection, "SELECT concat(database, '.', name) FROM system.tables")
  let names = read()
  return {
    lookUp(database: string): (name: string) => boolean {
      let isFresh = false
      return (name) => {
        const isKnown = () => names.has(name) || names.has(`${database}.${name}`)
        if (isKnown()) return true
        if (!isFresh) names = read()
        isFresh = true
        return isKnown()
      }
    },
  }
}

function readNames(connection: ChdbConnection, sql: string): ReadonlySet<string> {
  const { bytes } = connection.query(sql, { format: 'TSVRaw' })
  return new Set(new TextDecoder().decode(bytes).split('\n').filter(Boolean))
}

/** Errors of an unknown name; READONLY is the one for a file, as its statement is a read. */
const unknownNameCodes = [47, 60, 164]

/** Runs a statement with the same error for a name that is a file as for one that is nothing. */
function withUniformErrors<T>(unsure: readonly string[], run: () => T): T {
  try {
    return run()
  } catch (error) {
    const isUnknown = error instanceof QueryError && unknownNameCodes.includes(error.code)
    if (!isUnknown || unsure.length === 0) throw error
    const sentence = `A table or column is unknown, perhaps one of: ${unsure.join(', ')}`
    throw createQueryError('UNKNOWN_IDENTIFIER', sentence)
  }
}

/** The insert, together with its connection, which it closes at the end. */
function withConnection(
  insert: InsertStream,
  connection: ChdbConnection,
  assertWritten: () => Promise<void>,
): RunningInsert {
  return {
    append: insert.append,
    async finish() {
      try {
        return insert.finish()
      } finally {
        connection.close()
        await assertWritten()
      }
    },
    cancel() {
      insert.cancel()
      connection.close()
    },
  }
}
