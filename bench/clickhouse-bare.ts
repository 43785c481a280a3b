import { toInsert } from '../src/delivery/clickhouse/embedded.ts'
import { createStore } from '../src/delivery/clickhouse/store.ts'
import { openConnection } from '../src/embedded/chdb/connection.ts'
import { loadNative } from '../src/embedded/chdb/native.ts'
import { makeLine, rowsPerInsert, toStoreSettings } from './clickhouse-lines.ts'
import { measure } from './kafka-records.ts'

/**
 * The engine alone: the same table and lines, in whole blocks made beforehand, one insert after the other. A process of
 * its own, since a process has one engine. Prints its run.
 */
const [path = '', records = '0'] = process.argv.slice(2)
const count = Number(records)
const blocks: Buffer[] = []
for (let from = 0; from < count; from += rowsPerInsert) {
  const size = Math.min(rowsPerInsert, count - from)
  const lines = Array.from({ length: size }, (_, index) => `${makeLine(from + index)}\n`)
  blocks.push(Buffer.from(lines.join('')))
}
// As of the server, the clock runs from before the engine is opened and its tables are made.
const run = await measure('engine alone', count, async () => {
  const store = await createStore(toStoreSettings(path))
  await store.prepare()
  await store.clickhouse.close()
  const connection = openConnection(await loadNative(), path)
  for (const [index, rows] of blocks.entries()) {
    const stream = connection.openInsert(toInsert('events', `bare-${index}`), 'JSONEachRow')
    stream.append(rows)
    stream.finish()
  }
})
console.log(JSON.stringify(run))
process.exit()
