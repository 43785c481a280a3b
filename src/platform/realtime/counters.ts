/** Gauges `sockets` and `subscriptions`; everything else counts since the start of the process. */
export type RealtimeStats = {
  sockets: number
  subscriptions: number
  /** Transport connections that were opened. */
  connections: number
  /** Messages that clients published. */
  published: number
  /** Messages, acks and errors sent to sockets of this node. */
  sent: number
  /** Rejected messages, by error code. */
  faults: Readonly<Record<string, number>>
  /** Handshakes rejected over HTTP and sockets rejected for their token, by reason. */
  refused: Readonly<Record<string, number>>
  /** Live sockets that the server ended, by reason. */
  ended: Readonly<Record<string, number>>
  /** Messages that reached no other node because Redis was unavailable. */
  clusterFailures: number
}

export type RealtimeCounters = ReturnType<typeof createCounters>

export function createCounters() {
  const counts = { published: 0, sent: 0, clusterFailures: 0 }
  const reasons = { faults: {}, refused: {}, ended: {} } satisfies Record<string, Counts>
  return {
    increment(name: keyof typeof counts): void {
      counts[name] += 1
    },
    incrementReason(name: keyof typeof reasons, reason: string): void {
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
