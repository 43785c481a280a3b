/**
 * Whether the server takes events. It leaves in two steps: readiness says 503 for DRAIN_MS, so that
 * load balancers look elsewhere, while events are still accepted; then events are refused.
 */
export type IntakeGate = {
  /** Readiness is 503 from now on. Resolves after DRAIN_MS, counted from the first call. */
  leave(): Promise<void>
  /** Refuses events from now on. */
  close(): void
  isLeaving(): boolean
  isClosed(): boolean
}

export function createIntakeGate(drainMs: number): IntakeGate {
  let left: Promise<void> | undefined
  let isClosed = false
  return {
    leave() {
      left ??= new Promise((resolve) => setTimeout(resolve, drainMs))
      return left
    },
    close() {
      left ??= Promise.resolve()
      isClosed = true
    },
    isLeaving: () => left !== undefined,
    isClosed: () => isClosed,
  }
}

/** The last line of the log. */
export const toStopText = (
  { undelivered, orphaned }: { undelivered: number; orphaned: readonly string[] },
  folder: string,
) =>
  `stopped; ${undelivered} events undelivered${undelivered > 0 ? `; they stay in the journal in ${folder}, and the next start delivers them` : ''}${orphaned.length > 0 ? `; not counted are orphaned journals in ${orphaned.join(', ')}, which the next start delivers` : ''}`
