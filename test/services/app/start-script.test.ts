import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'

const start = join(import.meta.dir, '../../../src/start.sh')
const told = ['UV_THREADPOOL_SIZE', 'MIMALLOC_PURGE_DELAY']

/** What `start.sh` tells the runtime, in the order of `told`, as a script that it starts sees it. */
async function whatIsTold(environment: Record<string, string>) {
  using folder = temporaryFolder()
  const script = join(folder.path, 'tell.ts')
  writeFileSync(
    script,
    `console.log(JSON.stringify(${JSON.stringify(told)}.map((name) => process.env[name])))`,
  )
  const child = Bun.spawn(['sh', start, script], {
    env: { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, ...environment },
  })
  return JSON.parse(await child.stdout.text())
}

test('the start tells the runtime how many threads to have and what memory to keep', async () => {
  expect(await whatIsTold({})).toEqual(['8', '-1'])
})

test('what is set already stays', async () => {
  const environment = { UV_THREADPOOL_SIZE: '4', MIMALLOC_PURGE_DELAY: '1000' }
  expect(await whatIsTold(environment)).toEqual(['4', '1000'])
})
