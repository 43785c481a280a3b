import type { Forget, ForgetState } from '../console/forget-routes.ts'
import type { Forgotten, Person } from '../core/sink.ts'
import type { Services } from './services.ts'

/** The last persons whose outcome is kept. */
const runsMax = 100

type Run = { state: ForgetState['state']; outcome: Forgotten | undefined; error: string | null }

/** Deletes what this process can delete of a person: rows of ClickHouse, and delivered journal segments. */
export function createForget({ storage, log }: Pick<Services, 'storage' | 'log'>): Forget {
  const { shipping, journal } = storage
  const runs = new Map<string, Run>()
  const toKey = ({ project, distinctId }: Person) => JSON.stringify([project, distinctId])

  async function run(person: Person, current: Run): Promise<void> {
    try {
      current.outcome = await shipping.forget(person)
      await removeDelivered()
      current.state = 'done'
      // No id of the person: the log outlives the deletion.
      log.info({ deleted: current.outcome.deleted }, 'deleted the rows of a person')
    } catch (error) {
      current.state = 'failed'
      current.error = error instanceof Error ? error.message : String(error)
    }
  }

  /** Delivered records are in the journal until their segment is removed. */
  async function removeDelivered(): Promise<void> {
    await journal.rotate()
    const cursors = Object.values(shipping.positions()).map(({ cursor }) => cursor)
    await journal.release(Math.min(...cursors))
  }

  return {
    begin(person) {
      const key = toKey(person)
      if (runs.get(key)?.state === 'running') return
      const current: Run = { state: 'running', outcome: undefined, error: null }
      runs.delete(key)
      runs.set(key, current)
      if (runs.size > runsMax) runs.delete(runs.keys().next().value!)
      void run(person, current)
    },
    read(person) {
      const found = runs.get(toKey(person))
      if (!found) return null
      const { state, outcome, error } = found
      const lacking = Object.entries(shipping.health()).map(([name, sink]) => [
        name,
        { waiting: sink.lagEvents, last_error: sink.lastError ?? null },
      ])
      return {
        ...{ state, error, deleted: outcome?.deleted ?? {}, others: outcome?.others ?? [] },
        sinks: Object.fromEntries(lacking),
      }
    },
  }
}
