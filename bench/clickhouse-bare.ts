import { toInsert } from '../src/delivery/clickhouse/embedded.ts'
import { toEmbeddedFolder } from '../src/delivery/clickhouse/settings.ts'
import { createStore } from '../src/delivery/clickhouse/store.ts'
import { openConnection } from '../src/embedded/chdb/connection.ts'
import { loadNative } from '../src/embedded/chdb/native.ts'
import { createLine, rowsPerInsert, toStoreSettings } from './clickhouse-lines.ts'
import { measure } from './kafka-records.ts'

/**
 * The embedded ClickHouse alone: the same table and lines, in blocks built beforehand, one insert
 * after the other. Runs in a process of its own, because a process can open one data folder only.
 * Prints its run.
 */
const [dataDir = '', records = '0'] = process.argv.slice(2)
const count = Number(records)
const blocks: Buffer[] = []
for (let from = 0; from < count; from += rowsPerInsert) {
  const size = Math.min(rowsPerInsert, count - from)
  const lines = Array.from({ length: size }, (_, index) => `${createLine(from + index)}\n`)
  blocks.push(Buffer.from(lines.join('')))
}
// As for the server, the measurement includes opening chDB and creating its tables.
const run = await measure('chDB alone', count, async () => {
  const store = await createStore(toStoreSettings(dataDir))
  await store.prepare()
  await store.clickhouse.close()
  const connection = openConnection(await loadNative(), toEmbeddedFolder(dataDir))
  for (const [index, rows] of blocks.entries()) {
    const stream = connection.openInsert(toInsert('events', `bare-${index}`), 'JSONEachRow')
    stream.append(rows)
    stream.finish()
  }
})
console.log(JSON.stringify(run))
process.exit()
