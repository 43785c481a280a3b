import { type ClickHouseService, startClickHouse } from '../services/clickhouse.ts'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'
import { scrape } from './metrics.ts'
import { reconcile, type Stored } from './reconcile.ts'
import { type Spillway, startSpillway } from './spillway.ts'
import type { Ledger } from './traffic.ts'
import { until } from './until.ts'

/** The server, a remote ClickHouse, and a fault proxy between them. */
export type RemoteClickHouse = {
  clickhouse: ClickHouseService
  proxy: FaultProxy
  server: Spillway
  [Symbol.asyncDispose](): Promise<void>
}

export async function startRemoteClickHouse(
  environment: Record<string, string> = {},
  path?: string,
): Promise<RemoteClickHouse> {
  await using started = new AsyncDisposableStack()
  const clickhouse = started.adopt(await startClickHouse({ path }), (one) => one.stop())
  const proxy = started.adopt(await startFaultProxy(clickhouse.url), (one) => one.close())
  const server = started.use(await startSpillway({ CLICKHOUSE_URL: proxy.url, ...environment }))
  await until(() => keepDuplicates(server), { timeoutMs: 30_000, what: 'the table of events' })
  const stack = started.move()
  return {
    ...{ clickhouse, proxy, server },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** Disables merges, which would remove a duplicate row before the test can find it. */
async function keepDuplicates(server: Spillway): Promise<boolean> {
  const sql = 'ALTER TABLE events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1'
  return server.query(sql).then(
    () => true,
    () => false,
  )
}

/** Waits until the sink has delivered everything, and returns what is not stored as it was sent. */
export async function settle(
  server: Spillway,
  ledger: Ledger,
): Promise<ReturnType<typeof reconcile>> {
  const isShipped = async () => (await scrape(server.url))('spillway_sink_waiting_records') === 0
  await until(isShipped, { timeoutMs: 60_000, pauseMs: 50, what: 'an empty backlog' })
  return reconcile(ledger, await server.query<Stored>('SELECT uuid, properties FROM events'))
}
