import type { Answered, Question } from '../console/processes.ts'
import { withTimeLimit } from '../core/async.ts'
import type { FromChild, ToChild } from './messages.ts'

/** Passes the questions of one worker's console to all other workers. */
export type AskWorkers = {
  ask(workers: readonly AskedChild[], question: Question): Promise<Answered[]>
  answered(key: string, message: Extract<FromChild, { type: 'answer' }>): void
}

type AskedChild = { key: string; isReady(): boolean; send(message: ToChild): void }

/** Longer than a search of the journal takes. */
const answerMsMax = 6000

export function createAskWorkers(): AskWorkers {
  const waiting = new Map<string, (answer: unknown) => void>()
  let asked = 0

  async function askOne(child: AskedChild, question: Question): Promise<Answered> {
    const process = child.key
    if (!child.isReady()) return { process, answer: undefined }
    asked += 1
    const id = asked
    const key = `${child.key} ${id}`
    const { promise, resolve } = Promise.withResolvers<unknown>()
    waiting.set(key, resolve)
    child.send({ type: 'asked', id, question })
    const answer = await withTimeLimit(promise, answerMsMax, () => undefined)
    waiting.delete(key)
    return { process, answer }
  }

  return {
    ask: (workers, question) => Promise.all(workers.map((child) => askOne(child, question))),
    answered: (key, { id, answer }) => waiting.get(`${key} ${id}`)?.(answer),
  }
}
