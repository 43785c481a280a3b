/** A question to one process of a node, as plain data. */
export type Question =
  | { type: 'state' }
  | { type: 'overview'; states: readonly unknown[] }
  | { type: 'history'; minutes: number }
  | { type: 'live'; watcher: string; filter: Record<string, string> }
  | { type: 'refusals'; contract?: string | undefined; reason?: string | undefined }
  | { type: 'find'; id: string }

/** The answer of another process; undefined if it did not answer in time. */
export type Answered = { process: string; answer: unknown }

/** Asks all other processes that take events. Without WORKERS there are none. */
export type AskOthers = (question: Question) => Promise<Answered[]>

type Collected<T> = { answers: T[]; notes: string[] }

/** Asks this process and the others. `null` is the answer of a process that knows nothing of it. */
export async function collect<T>(
  { answer, askOthers }: { answer(question: Question): Promise<unknown>; askOthers: AskOthers },
  question: Question,
): Promise<Collected<T>> {
  const [own, others] = await Promise.all([answer(question), askOthers(question)])
  const missing = others.filter((one) => one.answer === undefined)
  const answers = [own, ...others.map((one) => one.answer)].filter(
    (one) => one !== undefined && one !== null,
  )
  const notes = missing.map(({ process }) => `${process} did not answer; its data is missing`)
  return { answers: answers as T[], notes }
}
