import { expect, setDefaultTimeout, test } from 'bun:test'
import type { FaultProxy, ProxyFault } from '../support/fault-proxy.ts'
import { scrape } from '../support/metrics.ts'
import { nothingWrong } from '../support/reconcile.ts'
import {
  type RemoteClickHouse,
  settle,
  startRemoteClickHouse,
} from '../support/remote-clickhouse.ts'
import type { Spillway } from '../support/spillway.ts'
import { startTraffic, type Traffic } from '../support/traffic.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(180_000)

const patient = { timeoutMs: 60_000 }

type Disturbance = {
  begin(setup: RemoteClickHouse): void | Promise<void>
  /** Resolves once the fault has affected the current process. */
  struck(setup: RemoteClickHouse): Promise<void>
  end(setup: RemoteClickHouse): void | Promise<void>
}

const kills: Disturbance = {
  begin: ({ clickhouse }) => clickhouse.kill(),
  struck: ({ server }) => retryTwice(server),
  end: ({ clickhouse }) => clickhouse.restart(),
}

const hangs: Disturbance = {
  begin: ({ clickhouse }) => clickhouse.pause(),
  struck: ({ server }) => retryTwice(server),
  end: ({ clickhouse }) => clickhouse.resume(),
}

const doing =
  (fault: FaultProxy['fault']) =>
  ({ proxy }: RemoteClickHouse) => {
    proxy.fault = fault
  }
const recovers = doing(() => undefined)
const isInsert = (statement: string) => statement.startsWith('INSERT')

/**
 * Most inserts fail, by one fault after the other, and often the read-back after them fails too.
 */
function through(...faults: ProxyFault[]): Disturbance {
  let strikes = 0
  let isFollowUp = false
  function strike(statement: string): ProxyFault | undefined {
    const isStruck = isInsert(statement) ? Math.random() < 0.7 : isFollowUp
    isFollowUp = isInsert(statement) && isStruck && Math.random() < 0.5
    if (!isStruck) return undefined
    if (isInsert(statement)) strikes += 1
    return faults[strikes % faults.length]
  }
  return {
    begin: doing(strike),
    async struck() {
      // Inserts arrive one at a time, so after `enough` faults each kind has occurred.
      const enough = strikes + faults.length
      await until(() => strikes >= enough, { ...patient, what: 'failed inserts' })
    },
    end: recovers,
  }
}

const forgetInserts = (statement: string) => (isInsert(statement) ? 'forget-part' : undefined)

const forgets: Disturbance = {
  begin: doing(forgetInserts),
  async struck({ proxy }) {
    proxy.fault = forgetInserts
    const enough = proxy.falseOks + 2
    await until(() => proxy.falseOks >= enough, { ...patient, what: 'false success replies' })
    // The server is killed while it waits for the outcome of a lost insert.
    let isAsking = false
    proxy.fault = (statement) => {
      isAsking ||= !isInsert(statement)
      return isInsert(statement) ? 'forget-part' : 'hang'
    }
    await until(() => isAsking, { ...patient, what: 'a read-back' })
  },
  end: recovers,
}

test.each<[string, Disturbance]>([
  ['is killed and restarted', kills],
  ['hangs', hangs],
  ['answers 500', through('error-before', 'error-after')],
  ['answers garbage', through('garbage', 'empty-ok', 'late-exception')],
  ['stores rows and loses its reply', through('drop-reply', 'cut-reply')],
  ['remembers a token and stores nothing', forgets],
])(
  'stores every acknowledged event once when the remote ClickHouse %s and the server is killed',
  async (_, disturbance) => {
    await using setup = await startRemoteClickHouse({ CLICKHOUSE_TIMEOUT_MS: '1000' })
    const { server } = setup
    const traffic = startTraffic({ url: server.url, clients: 4 })
    await acknowledgeMore(traffic)
    await disturbance.begin(setup)
    await disturbance.struck(setup)
    await server.kill()
    await server.start()
    await disturbance.struck(setup)
    await acknowledgeMore(traffic)
    await disturbance.end(setup)
    await acknowledgeMore(traffic)
    await server.kill()
    await server.start()
    await traffic.stop()

    expect(await settle(server, traffic.ledger)).toEqual(nothingWrong)
    expect(traffic.ledger.acknowledged.size).toBe(traffic.ledger.sent.size)
  },
)

async function acknowledgeMore({ ledger }: Traffic): Promise<void> {
  // Kill at varying points of an insert, a sync or a replay.
  const enough = ledger.acknowledged.size + 50 + Math.floor(Math.random() * 800)
  await until(() => ledger.acknowledged.size >= enough, patient)
}

/** A batch that fails twice has read back its first attempt. */
async function retryTwice(server: Spillway): Promise<void> {
  await until(async () => (await retriesOf(server)) >= 2, { ...patient, what: 'retries' })
}

/** Retries of this process. */
async function retriesOf({ url }: Spillway): Promise<number> {
  const read = await scrape(url)
  return read('spillway_sink_retries_total', { sink: 'clickhouse' })
}
