import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'

const script = join(import.meta.dir, 'lost-pipes.ts')

test('gives the executor back if no pipe can be opened', async () => {
  using folder = temporaryFolder()
  const child = Bun.spawn([process.execPath, script, folder.path], { stdout: 'pipe' })
  const lines = (await child.stdout.text()).trim().split('\n')
  expect(lines).toHaveLength(4)
  for (const line of lines.slice(0, 3)) expect(line).toContain('cannot open a pipe')
  expect(lines[3]).toBe('1')
  expect(await child.exited).toBe(0)
}, 60_000)
