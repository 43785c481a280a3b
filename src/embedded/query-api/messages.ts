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

/** To an executor: `open` once, then a `run` at a time; an insert's rows follow as `rows`, then `commit` or `abandon`. */
export type ToExecutor =
  | { type: 'open'; path: string; mode: Mode }
  | { type: 'run'; job: Job }
  | { type: 'rows'; bytes: Uint8Array }
  | { type: 'commit' }
  | { type: 'abandon' }

/** `started` tells the output's format, and whether the statement only reads; `more` asks for rows; `finished` and `failed` end a run. */
export type FromExecutor =
  | { type: 'ready' }
  | { type: 'started'; start: Start }
  | { type: 'more' }
  | { type: 'finished'; summary: Summary }
  | { type: 'failed'; code: number; text: string }
