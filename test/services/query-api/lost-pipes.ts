import { loadNative } from '../../../src/embedded/chdb/native.ts'
import { createQueries, type QueryJob } from '../../../src/embedded/query-api/queries.ts'

/**
 * Three queries that get no pipe, then one that gets it, on the folder of the first argument. Prints the
 * outcome of each. A process of its own: chDB opens one folder per process and does not let go of it.
 */
const job = (queryId: string): QueryJob => ({
  ...{ queryId, sql: 'SELECT 1', format: 'TSV', database: 'default' },
  ...{ parameters: {}, settings: { log_comment: queryId }, isInsert: false },
})

const native = await loadNative()
let failures = 3
const queries = createQueries({
  ...{ path: process.argv[2]!, mode: 'read-only', concurrencyMax: 1, queueMax: 0 },
  readMsMax: 10_000,
  native: {
    ...native,
    pipe: ((ends) => (failures-- > 0 ? -1 : native.pipe(ends))) as typeof native.pipe,
  },
})
const { signal } = new AbortController()
for (const queryId of ['a', 'b', 'c']) {
  await queries.start(job(queryId), signal).catch((error) => console.log(error.message))
}
const query = await queries.start(job('d'), signal)
await query.output.discard()
console.log((await query.finished).resultRows)
await queries.close()
process.exit(0)
