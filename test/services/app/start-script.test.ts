import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'

const start = join(import.meta.dir, '../../../src/start.sh')
const names = ['UV_THREADPOOL_SIZE', 'MIMALLOC_PURGE_DELAY']

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

test('sets the thread pool and the memory purge delay', async () => {
  expect(await readVariables({})).toEqual(['8', '-1'])
})

test('keeps variables that are already set', async () => {
  const environment = { UV_THREADPOOL_SIZE: '4', MIMALLOC_PURGE_DELAY: '1000' }
  expect(await readVariables(environment)).toEqual(['4', '1000'])
})
