import type { Parameters, Summary } from '../chdb/connection.ts'
import type { Mode, Settings } from './settings.ts'

/** What an executor is to run. Its output is written to `outputFd`, which it closes. */
export type Job = {
  /** A whole statement; for an insert, what stands before FORMAT. */
  sql: string
  /** Of the output where the statement names none; for an insert, of its rows. */
  format: string
  isInsert: boolean
  database: string | undefined
  settings: Settings
  parameters: Parameters
  outputFd: number
}

/** What is known of a statement before it runs. */
export type Start = { format: string; isRead: boolean }

/** One `run` at a time. The rows of an insert follow as `rows`, then `commit` or `abandon`. */
export type ToExecutor =
  | { type: 'run'; job: Job }
  | { type: 'rows'; bytes: Uint8Array }
  | { type: 'commit' }
  | { type: 'abandon' }

/** `more` asks for rows of an insert; `finished` or `failed` ends a run. */
export type FromExecutor =
  | { type: 'started'; start: Start }
  | { type: 'more' }
  | { type: 'finished'; summary: Summary }
  | { type: 'failed'; code: number; text: string }

export type ExecutorThread = {
  options: { path: string; mode: Mode }
  ready: undefined
  toThread: ToExecutor
  fromThread: FromExecutor
}
