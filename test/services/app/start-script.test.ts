import { expect, test } from 'bun:test'
import { chmodSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'

const start = join(import.meta.dir, '../../../src/start.sh')
const growth = 'BUN_JSC_heapGrowthMaxIncrease'
const names = ['UV_THREADPOOL_SIZE', 'MIMALLOC_PURGE_DELAY', growth]

/** The variables that `start.sh` sets, in the order of `names`, as a script that it starts sees them. */
async function readVariables(environment: Record<string, string>) {
  using folder = temporaryFolder()
  const script = join(folder.path, 'print.ts')
  writeFileSync(
    script,
    `console.log(JSON.stringify(${JSON.stringify(names)}.map((name) => process.env[name])))`,
  )
  const child = Bun.spawn(['sh', start, script], {
    env: { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, ...environment },
  })
  return JSON.parse(await child.stdout.text())
}

test('sets the thread pool, the memory purge delay and the growth of the heap', async () => {
  expect(await readVariables({})).toEqual(['8', '30000', '0.3'])
})

test('keeps variables that are already set', async () => {
  const environment = { UV_THREADPOOL_SIZE: '4', MIMALLOC_PURGE_DELAY: '1000', [growth]: '1' }
  expect(await readVariables(environment)).toEqual(['4', '1000', '1'])
})

test('starts a Bun that does not know the growth of the heap without it', async () => {
  using folder = temporaryFolder()
  const bun = join(folder.path, 'bun')
  // As Bun does with an unknown option of its garbage collector.
  writeFileSync(bun, `#!/bin/sh\n[ -z "$${growth}" ] || exit 1\nexec ${process.execPath} "$@"\n`)
  chmodSync(bun, 0o755)
  const PATH = `${folder.path}:${process.env.PATH}`
  expect(await readVariables({ PATH })).toEqual(['8', '30000', null])
})
