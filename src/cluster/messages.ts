import type { StopReport } from '../app/server.ts'
import type { Answered, Question } from '../console/processes.ts'
import type { Metrics } from '../observability/metrics.ts'

/** A running process, as its entry point sees it. */
export type Supervised = {
  metrics: Metrics['text']
  stop(reason: string): Promise<StopReport>
  /** Answers a question of another process's console. Never rejects: undefined after a fault. */
  answer?(question: Question): Promise<unknown>
}

/** Messages of a child to its supervisor. */
export type FromChild =
  | { type: 'ready' }
  /** Reply to `metrics`: the metrics of this child. */
  | { type: 'metrics'; id: number; text: string }
  /** A client asked this child for the metrics of all processes. */
  | { type: 'gather'; id: number }
  /** The console of this child asks all other workers. */
  | { type: 'ask'; id: number; question: Question }
  /** Reply to `asked`; `answer` is undefined after a fault. */
  | { type: 'answer'; id: number; answer: unknown }
  /** This child has stopped. */
  | { type: 'stopped'; report: StopReport }

export type ToChild =
  | { type: 'metrics'; id: number }
  /** Reply to `gather`. */
  | { type: 'gathered'; id: number; text: string }
  | { type: 'asked'; id: number; question: Question }
  /** Reply to `ask`. */
  | { type: 'answers'; id: number; answers: Answered[] }

/** The role of a child process. It is the first argument of its command. */
export type Role = { kind: 'worker'; index: number } | { kind: 'realtime' }

export const toArgument = (role: Role) =>
  role.kind === 'worker' ? `worker-${role.index}` : 'realtime'

/** Undefined for a process without a supervisor. */
export function toRole(argument: string | undefined): Role | undefined {
  if (argument === 'realtime') return { kind: 'realtime' }
  const index = /^worker-(\d{1,3})$/.exec(argument ?? '')?.[1]
  return index === undefined ? undefined : { kind: 'worker', index: Number(index) }
}
