import { expect, setDefaultTimeout, test } from 'bun:test'
import type { ProxyFault } from '../support/fault-proxy.ts'
import { scrape } from '../support/metrics.ts'
import { nothingWrong } from '../support/reconcile.ts'
import { type RemoteEngine, settle, startRemoteEngine } from '../support/remote-engine.ts'
import type { Spillway } from '../support/spillway.ts'
import { startTraffic, type Traffic } from '../support/traffic.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(180_000)

const patient = { timeoutMs: 60_000 }

type Disturbance = {
  begin(setup: RemoteEngine): void | Promise<void>
  end(setup: RemoteEngine): void | Promise<void>
}

/** Most inserts suffer it, and some of the statements by which we find out what became of them. */
const through = (...faults: ProxyFault[]): Disturbance => ({
  begin({ proxy }) {
    proxy.fault = (statement) => {
      const isSpared = Math.random() < (statement.startsWith('INSERT') ? 0.3 : 0.6)
      return isSpared ? undefined : faults[Math.floor(Math.random() * faults.length)]
    }
  },
  end({ proxy }) {
    proxy.fault = () => undefined
  },
})

const kills: Disturbance = {
  begin: ({ engine }) => engine.kill(),
  end: ({ engine }) => engine.restart(),
}

const hangs: Disturbance = {
  begin: ({ engine }) => engine.pause(),
  end: ({ engine }) => engine.resume(),
}

/** A batch that fails twice has seen what becomes of its first attempt. */
const retriesMin = 2

test.each<[string, Disturbance]>([
  ['is killed and restarted', kills],
  ['hangs', hangs],
  ['answers 500', through('error-before', 'error-after')],
  ['answers garbage', through('garbage', 'empty-ok', 'late-exception')],
  ['stores, and its reply is lost', through('drop-reply', 'cut-reply')],
  ['remembers a token and stores nothing', through('forget-part')],
])(
  'has every acknowledged event once when the remote engine %s and we are killed',
  async (_, disturbance) => {
    await using setup = await startRemoteEngine({ CLICKHOUSE_TIMEOUT_MS: '1000' })
    const { server } = setup
    const traffic = startTraffic({ url: server.url, clients: 4 })
    await acknowledgeMore(traffic)
    await disturbance.begin(setup)
    await until(async () => (await retriesOf(server)) >= retriesMin, patient)
    await server.kill()
    await server.start()
    await until(async () => (await retriesOf(server)) >= retriesMin, patient)
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
  // Each time at another point of an insert, a sync or a replay.
  const enough = ledger.acknowledged.size + 50 + Math.floor(Math.random() * 800)
  await until(() => ledger.acknowledged.size >= enough, patient)
}

/** Inserts of this process that failed and were made again. */
async function retriesOf({ url }: Spillway): Promise<number> {
  const read = await scrape(url)
  return read('spillway_sink_retries_total', { sink: 'clickhouse' })
}
