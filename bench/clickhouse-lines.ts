import { loadConfig } from '../src/config/config.ts'
import { parseClickHouseSettings } from '../src/delivery/clickhouse/settings.ts'
import { createRecord } from './kafka-records.ts'

/** The server's batch for the embedded ClickHouse. */
export const rowsPerInsert = 50_000

/** Canonical lines with the length of a browser's page view. */
export const createLine = (index: number) => createRecord(index).line

export const toStoreSettings = (dataDir: string) =>
  parseClickHouseSettings({ ...loadConfig({}).config, dataDir })
