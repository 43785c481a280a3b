import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLog } from '../../../src/core/log.ts'
import {
  type QueryServerOptions,
  startQueryServer,
} from '../../../src/embedded/query-api/server.ts'

/**
 * A process with a writable and a read-only interface on one folder. It prints their ports, then
 * replies to lines: `sync` with the longest of 20 writes and syncs of a file, in ms; `stop` by
 * closing both and ending.
 */
const [folder = '', options = '{}'] = process.argv.slice(2)
const common = { port: 0, chdbPath: join(folder, 'chdb'), log: silentLog }
const limits = JSON.parse(options) as Partial<QueryServerOptions>
const writable = await startQueryServer({ ...common, mode: 'writable' })
const readOnly = await startQueryServer({ ...common, mode: 'read-only', ...limits })
await Promise.all([writable.opened, readOnly.opened])
console.log(JSON.stringify({ writable: writable.port, readOnly: readOnly.port }))

for await (const line of console) {
  if (line === 'sync') console.log(await longestSyncMs())
  if (line === 'stop') {
    await Promise.all([readOnly.close(), writable.close()])
    console.log('stopped')
    process.exit(0)
  }
}
// The parent process has ended.
process.exit(1)

async function longestSyncMs(): Promise<number> {
  const file = await open(join(folder, 'synced'), 'w')
  let longest = 0
  for (let i = 0; i < 20; i += 1) {
    const startMs = performance.now()
    await file.write(Buffer.alloc(4096))
    await file.datasync()
    longest = Math.max(longest, performance.now() - startMs)
  }
  await file.close()
  return longest
}
