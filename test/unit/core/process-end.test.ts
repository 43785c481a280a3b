import { expect, test } from 'bun:test'
import { hasEnded, toProcessPlace } from '../../../src/core/process-end.ts'
import { until } from '../../support/until.ts'

test('a process has ended when it is gone, and before its parent has waited for it', async () => {
  expect(hasEnded(process.pid)).toBe(false)
  const child = Bun.spawn(['cat'], { stdin: 'pipe' })
  expect(hasEnded(child.pid)).toBe(false)
  child.kill('SIGKILL')
  await child.exited
  expect(hasEnded(child.pid)).toBe(true)
  // The child of a shell that does not wait stays as a zombie.
  const shell = Bun.spawn(['sh', '-c', 'sleep 0 & echo $!; exec sleep 60'], { stdout: 'pipe' })
  const { value } = await shell.stdout.getReader().read()
  const zombie = Number(new TextDecoder().decode(value))
  await until(() => hasEnded(zombie), { what: 'the end of the child' })
  shell.kill('SIGKILL')
})

test('the place of processes names the boot and the PID namespace', () => {
  expect(toProcessPlace()).toMatch(/^[0-9a-f-]{36} pid:\[\d+\]$/)
})
