import { writeSync } from 'node:fs'
import {
  type Connection,
  type InsertStream,
  openConnection,
  type Summary,
} from '../chdb/connection.ts'
import { refusal } from '../chdb/exceptions.ts'
import type { Native } from '../chdb/native.ts'
import type { Job, Start } from './executor.ts'
import { assertHarmless, assertRead } from './guard.ts'
import { inspectorSettings, type Mode, toSetStatement } from './settings.ts'
import { parseStatement, type Statement, toSyntaxTree, withClientIds } from './statement.ts'
import { createWriteWatch } from './write-watch.ts'

/** Runs statements, each on a connection of its own, so that nothing one sets reaches the next. Every call blocks. */
export type Runner = {
  /** Runs a statement to its end. Throws QueryError. */
  run(job: Job, onStart: (start: Start) => void): Summary
  /** Starts an insert. Throws QueryError. Its stream's last call closes the connection. */
  startInsert(job: Job): InsertStream
}

export function createRunner({ native, path, mode }: RunnerParts): Runner {
  // No setting of a client's may reach it: a limit on rows, say, would cut the tree that decides.
  const inspector = openConnection(native, path)
  inspector.query(toSetStatement(inspectorSettings))
  const tableFunctions = readTableFunctions(inspector)
  const writes = mode === 'writable' ? createWriteWatch(openConnection(native, path)) : undefined

  function run(job: Job, onStart: (start: Start) => void): Summary {
    const connection = openConnection(native, path)
    try {
      prepare(connection, job)
      const statement = parseStatement(inspector, job.sql)
      if (mode === 'read-only') inspect(statement, job)
      onStart({ format: statement.format ?? job.format, isRead: statement.kind === 'read' })
      return execute({ connection, statement, job })
    } finally {
      connection.close()
      // A read may have failed for a part that a merge has just broken.
      writes?.settle()
    }
  }

  function assertWritten(): void {
    if (writes?.settle()) throw refusal('CANNOT_WRITE_TO_FILE_DESCRIPTOR', 'The disk takes no more')
  }

  function inspect(statement: Statement, { parameters }: Job): void {
    assertRead(statement)
    const tree = toSyntaxTree(inspector, { head: statement.head, parameters })
    assertHarmless({ statement, tree, parameters, tableFunctions })
  }

  function startInsert(job: Job): InsertStream {
    const connection = openConnection(native, path)
    try {
      prepare(connection, job)
      const insert = connection.openInsert(job.sql, job.format, job.parameters)
      return closing(insert, connection, assertWritten)
    } catch (error) {
      connection.close()
      throw error
    }
  }
  return { run, startInsert }
}

type RunnerParts = { native: Native; path: string; mode: Mode }

function prepare(connection: Connection, { database, settings }: Job): void {
  if (database) connection.query(`USE \`${database.replace(/[\\`]/g, '\\$&')}\``)
  connection.query(toSetStatement(settings))
}

type Execution = { connection: Connection; statement: Statement; job: Job }

/** What was inspected is what runs: the statement as the engine wrote it, never the client's own text. */
function execute({ connection, statement, job }: Execution): Summary {
  const { head, format = job.format, tail, tokens, kind } = statement
  const isKill = head.startsWith('KILL ')
  const text = withClientIds(
    head,
    tokens.filter((token) => token.end <= head.length),
  )
  const { parameters } = job
  if (kind === 'read' && /^(SELECT|WITH|\()/.test(head)) {
    const target = `INTO OUTFILE '${descriptorFolder}/${job.outputFd}' APPEND`
    const sql = `${text} ${target} FORMAT ${format}${tail}`
    return connection.query(sql, { parameters }).summary
  }
  // Replies of other statements are small. Writes run as they came: the engine hides passwords in what it writes.
  const sql = kind === 'read' || isKill ? `${text}${tail}` : job.sql
  const { bytes, summary } = connection.query(sql, { format, parameters })
  for (let written = 0; written < bytes.length; ) written += writeSync(job.outputFd, bytes, written)
  return summary
}

/** Where an open file can be opened again by its number: the engine's own way to stream a result is to a file. */
const descriptorFolder = process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd'

function readTableFunctions(connection: Connection): ReadonlySet<string> {
  const { bytes } = connection.query('SELECT lower(name) FROM system.table_functions')
  return new Set(new TextDecoder().decode(bytes).split('\n').filter(Boolean))
}

/** The same insert, which takes its connection along when it ends. */
function closing(
  insert: InsertStream,
  connection: Connection,
  assertWritten: () => void,
): InsertStream {
  return {
    append: insert.append,
    finish() {
      try {
        return insert.finish()
      } finally {
        connection.close()
        assertWritten()
      }
    },
    cancel() {
      insert.cancel()
      connection.close()
    },
  }
}
