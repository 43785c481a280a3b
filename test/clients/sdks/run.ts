import { expect } from 'bun:test'

export type ClientRun = { command: string[]; environment?: Record<string, string> }

/**
 * Runs a client program to its end and returns the JSON of its last line. The client must succeed
 * and write nothing to stderr.
 */
export async function runClient({ command, environment = {} }: ClientRun): Promise<unknown> {
  const child = Bun.spawn(command, {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...environment },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  expect({ exitCode: await child.exited, errors }).toEqual({ exitCode: 0, errors: '' })
  return JSON.parse(output.trim().split('\n').at(-1) ?? '')
}
