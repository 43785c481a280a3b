import { cutText } from '../contracts/shared/text.ts'
import { distinctIdLengthMax } from '../core/limits.ts'
import type { Person } from '../core/sink.ts'
import { invalid, readObject } from './exchange.ts'
import type { Ask } from './processes.ts'
import type { ConsoleRoutes } from './routes.ts'

/** Deletes what one process can delete of a person. */
export type Forget = {
  /** No-op while a run for the person is under way. */
  begin(person: Person): void
  /** Null if there was no run for the person lately. */
  read(person: Person): ForgetState | null
}

export type ForgetState = {
  state: 'running' | 'done' | 'failed'
  error: string | null
  /** Rows by table. */
  deleted: Readonly<Record<string, number>>
  /** Further ids of the person. */
  others: readonly string[]
  /** The records that each sink still lacks. ClickHouse must have all of them first. */
  sinks: Record<string, { waiting: number; last_error: string | null }>
}

export function forgetRoutes({ ask }: { ask: Ask }): ConsoleRoutes {
  async function read(person: Person, begin: boolean) {
    const { answers, notes } = await ask<ForgetState>({ type: 'forget', person, begin })
    return { processes: answers, complete: notes.length === 0, notes }
  }
  return {
    'GET forget': async ({ parameters }) => {
      const person = toPerson(parameters.text('project'), parameters.text('distinct_id'))
      parameters.assertAllRead()
      return await read(person, false)
    },
    'POST forget': async ({ request }) => {
      const { project, distinct_id: id } = await readObject(request)
      return await read(toPerson(project, id), true)
    },
  }
}

function toPerson(project: unknown, distinctId: unknown): Person {
  if (!isName(project)) throw invalid('project is missing')
  if (!isName(distinctId)) throw invalid('distinct_id is missing')
  // As the contracts store it.
  return { project, distinctId: cutText(distinctId, distinctIdLengthMax).toWellFormed() }
}

const isName = (value: unknown): value is string => typeof value === 'string' && value !== ''
