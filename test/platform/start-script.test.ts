import { expect, test } from 'bun:test'
import { chmodSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../support/folder.ts'

const start = join(import.meta.dir, '../../src/start.sh')
const told = ['UV_THREADPOOL_SIZE', 'MIMALLOC_PURGE_DELAY', 'BUN_JSC_heapGrowthMaxIncrease']
const path = `${dirname(process.execPath)}:${process.env.PATH}`

/** What `start.sh` tells the runtime, in the order of `told`, as a script that it starts sees it. */
async function whatIsTold(folder: string, environment: Record<string, string>) {
  const script = join(folder, 'tell.ts')
  writeFileSync(
    script,
    `console.log(JSON.stringify(${JSON.stringify(told)}.map((name) => process.env[name] ?? null)))`,
  )
  const child = Bun.spawn(['sh', start, script], {
    env: { PATH: path, ...environment },
  })
  return JSON.parse(await child.stdout.text())
}

test('the start tells the runtime how many threads, what to keep and when to collect', async () => {
  using folder = temporaryFolder()
  expect(await whatIsTold(folder.path, {})).toEqual(['8', '-1', '0.3'])
})

test('what is set already stays', async () => {
  using folder = temporaryFolder()
  const environment = {
    UV_THREADPOOL_SIZE: '4',
    MIMALLOC_PURGE_DELAY: '1000',
    BUN_JSC_heapGrowthMaxIncrease: '2',
  }
  expect(await whatIsTold(folder.path, environment)).toEqual(['4', '1000', '2'])
})

test('a Bun that does not know the option of the collector starts without it', async () => {
  using folder = temporaryFolder()
  const bun = join(folder.path, 'bun')
  const refusal = '[ -z "$BUN_JSC_heapGrowthMaxIncrease" ] || exit 1'
  writeFileSync(bun, `#!/bin/sh\n${refusal}\nexec ${process.execPath} "$@"\n`)
  chmodSync(bun, 0o755)
  const environment = { PATH: `${folder.path}:${path}` }
  expect(await whatIsTold(folder.path, environment)).toEqual(['8', '-1', null])
})
