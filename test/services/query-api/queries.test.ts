import { expect, setDefaultTimeout, test } from 'bun:test'
import { loadNative } from '../../../src/embedded/chdb/native.ts'
import { createQueries, type QueryJob } from '../../../src/embedded/query-api/queries.ts'
import { temporaryFolder } from '../../support/folder.ts'

setDefaultTimeout(30_000)

const job = (queryId: string): QueryJob => ({
  ...{ queryId, sql: 'SELECT 1', format: 'TSV', database: 'default' },
  ...{ parameters: {}, settings: { log_comment: queryId }, isInsert: false },
})

test('gives the executor back if no pipe can be opened', async () => {
  using folder = temporaryFolder()
  const native = await loadNative()
  let failures = 3
  const queries = createQueries({
    ...{ path: folder.path, mode: 'read-only', concurrencyMax: 1, queueMax: 0, readMsMax: 10_000 },
    native: {
      ...native,
      pipe: ((ends) => (failures-- > 0 ? -1 : native.pipe(ends))) as typeof native.pipe,
    },
  })
  const { signal } = new AbortController()
  for (const queryId of ['a', 'b', 'c'])
    await expect(queries.start(job(queryId), signal)).rejects.toThrow('cannot open a pipe')
  const query = await queries.start(job('d'), signal)
  await query.output.discard()
  expect(await query.finished).toMatchObject({ resultRows: 1 })
  await queries.close()
})
