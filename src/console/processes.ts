import type { Person } from '../core/sink.ts'

/** A question to one process of a node, as plain data. */
export type Question =
  | { type: 'state' }
  /** How far a drain is; `begin` begins it. */
  | { type: 'drain'; begin: boolean }
  /** Deletes what the process has of a person; `begin` begins it. */
  | { type: 'forget'; person: Person; begin: boolean }
  | { type: 'overview'; states: readonly unknown[] }
  | { type: 'history'; minutes: number }
  | { type: 'live'; watcher: string; filter: Record<string, string> }
  | { type: 'refusals'; contract?: string | undefined; reason?: string | undefined }
  /** Requests, events that were not stored, refusals and waiting records that have this id. */
  | { type: 'find'; id: string }
  /** The requests of stored events, by uuid, or by contract and time of receipt. */
  | { type: 'requests'; uuids: readonly string[]; received: readonly (readonly [string, number])[] }

/** The answer of another process; undefined if it did not answer in time. */
export type Answered = { process: string; answer: unknown }

/** Asks all other processes that take events. Without WORKERS there are none. */
export type AskOthers = (question: Question) => Promise<Answered[]>

/** Asks this process and all others. `notes` says whose data is missing. */
export type Ask = <T>(question: Question) => Promise<{ answers: T[]; notes: string[] }>

/** `null` is the answer of a process that knows nothing of it. */
export function createAsk(
  answer: (question: Question) => Promise<unknown>,
  askOthers: AskOthers,
): Ask {
  return async <T>(question: Question) => {
    const [own, others] = await Promise.all([answer(question), askOthers(question)])
    const missing = others.filter((one) => one.answer === undefined)
    const answers = [own, ...others.map((one) => one.answer)].filter(
      (one) => one !== undefined && one !== null,
    )
    const notes = missing.map(({ process }) => `${process} did not answer; its data is missing`)
    return { answers: answers as T[], notes }
  }
}
