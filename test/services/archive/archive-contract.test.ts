import { afterAll } from 'bun:test'
import { createArchiveSink } from '../../../src/delivery/archive/sink.ts'
import { openArchive } from '../../../src/delivery/archive/store.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { instantly, makeLedger, makeReport } from '../../unit/delivery/clickhouse/fixtures.ts'
import { describeSink } from '../delivery/sink-contract.ts'
import { startS3 } from '../s3.ts'
import { readArchive, uuidsIn } from './support.ts'

const ended = new AsyncDisposableStack()
afterAll(() => ended.disposeAsync())

const places = {
  S3: async () => ended.adopt(await startS3(), (s3) => s3.stop()).open('contract'),
  folder: async () => openArchive({ folder: ended.use(temporaryFolder()).path }),
}

for (const [name, openStore] of Object.entries(places))
  describeSink(`The archive (${name})`, {
    // A range that is sent again in other batches is another object. A replay looks for rows itself.
    isExactlyOnce: false,
    async open() {
      const store = await openStore()
      const sink = createArchiveSink({
        ...instantly,
        ...{ store, cursors: makeLedger(), report: makeReport() },
        journalId: crypto.randomUUID(),
      })
      return {
        sink,
        async stored() {
          const archived = await readArchive(store)
          archived.sort((a, b) => a.object.firstOffset - b.object.firstOffset)
          return uuidsIn(archived)
        },
      }
    },
  })
