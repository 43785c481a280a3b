import { loadConfig } from '../src/config/config.ts'
import { parseClickHouseSettings } from '../src/delivery/clickhouse/store.ts'
import { makeRecord } from './kafka-records.ts'

/** As many as the server sends to the embedded engine at once. */
export const rowsPerInsert = 50_000

/** Canonical lines of the length that browsers' page views have. */
export const makeLine = (index: number) => makeRecord(index).line

export const toStoreSettings = (dataDir: string) =>
  parseClickHouseSettings({ ...loadConfig({}).config, dataDir })
