import { byReason, counter, gauge, type Reading } from './metrics.ts'

/** The metrics of realtime, in the server as well as in the realtime process of WORKERS. */
export function toRealtimeReadings(stats: () => RealtimeNumbers): Reading[] {
  return [
    gauge('spillway_sockets', 'Sockets that are authenticated and open', () => stats().sockets),
    gauge('spillway_subscriptions', 'Subscriptions of open sockets', () => stats().subscriptions),
    counter(
      'spillway_realtime_connections_total',
      'Transport connections opened, authenticated or not',
      () => stats().connections,
    ),
    counter(
      'spillway_messages_published_total',
      'Messages that clients published',
      () => stats().published,
    ),
    counter(
      'spillway_messages_sent_total',
      'Messages, acknowledgements and errors sent to sockets',
      () => stats().sent,
    ),
    counter(
      'spillway_realtime_cluster_failures_total',
      'Messages that reached no other node because Redis failed',
      () => stats().clusterFailures,
    ),
    byReason(
      'spillway_realtime_faults_total',
      'Messages of clients that were refused, by error code',
      () => stats().faults,
    ),
    byReason(
      'spillway_sockets_refused_total',
      'Connections refused, by reason',
      () => stats().refused,
    ),
    byReason(
      'spillway_sockets_ended_total',
      'Sockets that the server ended, by reason',
      () => stats().ended,
    ),
  ]
}

type Counts = Readonly<Record<string, number>>

type RealtimeNumbers = {
  sockets: number
  subscriptions: number
  connections: number
  published: number
  sent: number
  clusterFailures: number
  /** By error code. */
  faults: Counts
  /** By reason. */
  refused: Counts
  ended: Counts
}
