import { expect, test } from 'bun:test'
import { join } from 'node:path'

test('close resolves when the last line is written, also while the thread pool is busy', async () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'log-process.ts')], {
    env: { PATH: process.env.PATH ?? '', UV_THREADPOOL_SIZE: '1' },
    stdout: 'pipe',
  })
  const text = await child.stdout.text()
  const messages = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).msg)
  expect(messages).toEqual(['first', 'last'])
}, 30_000)
