import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { canMount, mountTinyDisk } from '../../support/tiny-disk.ts'
import { startClickHouse } from '../clickhouse.ts'

setDefaultTimeout(60_000)

/**
 * chDB checks the free space of its top folder on a large disk, and writes to the tiny disk below.
 */
describe.skipIf(!canMount)('a writable embedded ClickHouse on a disk that fills up', () => {
  test('reports a failed write, as a server does, and keeps earlier rows', async () => {
    using folder = temporaryFolder()
    mkdirSync(join(folder.path, 'store'))
    using disk = mountTinyDisk(16 * 1024 * 1024, join(folder.path, 'store'))
    await using stack = new AsyncDisposableStack()
    const servers = stack.adopt(await startClickHouse({ path: folder.path }), (one) => one.stop())
    const ask = async (sql: string) => {
      const reply = await fetch(servers.url, { method: 'POST', body: sql })
      return { status: reply.status, text: (await reply.text()).trim() }
    }
    await ask('CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n')
    await ask('INSERT INTO t VALUES (1), (2)')
    await ask('INSERT INTO t VALUES (3)')

    disk.fill()
    const refused = await ask('INSERT INTO t VALUES (4)')
    await ask('OPTIMIZE TABLE t FINAL')
    disk.empty()

    expect(refused.text).toStartWith('Code: 75. DB::Exception: ')
    expect(refused.status).toBe(500)
    expect(await ask('SELECT n FROM t ORDER BY n')).toEqual({ status: 200, text: '1\n2\n3' })
    expect(await ask('INSERT INTO t VALUES (4)')).toEqual({ status: 200, text: '' })
    expect(await ask('SELECT count() FROM t')).toEqual({ status: 200, text: '4' })
  })
})
