/** Since the start, but for the first two, which are as of now. */
export type RealtimeStats = {
  sockets: number
  subscriptions: number
  /** Transport connections that were begun. */
  connections: number
  /** Messages that clients published. */
  published: number
  /** Messages, acks and errors that were sent to this node's sockets. */
  sent: number
  /** Refused messages, by code. */
  faults: Readonly<Record<string, number>>
  /** Handshakes refused by HTTP, and sockets refused or ended, by reason. */
  refused: Readonly<Record<string, number>>
  ended: Readonly<Record<string, number>>
  /** Messages that reached no other node, because Redis was away. */
  clusterFailures: number
}

export type Tally = ReturnType<typeof createTally>

export function createTally() {
  const counts = { published: 0, sent: 0, clusterFailures: 0 }
  const reasons = { faults: {}, refused: {}, ended: {} } satisfies Record<string, Counts>
  return {
    add(name: keyof typeof counts): void {
      counts[name] += 1
    },
    note(name: keyof typeof reasons, reason: string): void {
      const named: Counts = reasons[name]
      named[reason] = (named[reason] ?? 0) + 1
    },
    read: (): Omit<RealtimeStats, 'sockets' | 'subscriptions' | 'connections'> => ({
      ...counts,
      faults: { ...reasons.faults },
      refused: { ...reasons.refused },
      ended: { ...reasons.ended },
    }),
  }
}

type Counts = Record<string, number>
