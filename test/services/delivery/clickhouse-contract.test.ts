import { createClickHouseSink } from '../../../src/delivery/clickhouse/sink.ts'
import { createStore } from '../../../src/delivery/clickhouse/store.ts'
import {
  instantly,
  makeLedger,
  makeReport,
  makeSettings,
} from '../../unit/delivery/clickhouse/fixtures.ts'
import { shared } from '../shared.ts'
import { describeSink, type SinkUnderTest } from './sink-contract.ts'

describeSink('ClickHouse', { open, isExactlyOnce: true })

async function open(): Promise<SinkUnderTest> {
  const database = `contract_${crypto.randomUUID().replaceAll('-', '')}`
  const url = `${await shared.clickhouse()}/${database}`
  const { clickhouse, prepare } = await createStore(makeSettings({ CLICKHOUSE_URL: url }))
  const sink = createClickHouseSink({
    ...instantly,
    ...{ clickhouse, prepare, cursors: makeLedger(), report: makeReport(), now: Date.now },
    ...{ journalId: crypto.randomUUID(), cluster: undefined, killAfterMs: 5000 },
  })
  async function stored(): Promise<string[]> {
    const tables = ['events', 'recordings', 'link_events', 'dead_letters']
    const selects = tables.map((table) => `SELECT uuid, received_at FROM ${table}`)
    const sql = `SELECT uuid FROM (${selects.join(' UNION ALL ')}) ORDER BY received_at`
    return (await clickhouse.query<{ uuid: string }>(sql)).map(({ uuid }) => uuid)
  }
  return { sink, stored }
}
