import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const folder = join(import.meta.dir, '../../../src/cli')
const commands = readdirSync(folder).filter((name) => name !== 'connection.ts')

const run = (command: string, option: string) =>
  Bun.spawnSync(['bun', join(folder, command), option], {
    stdin: Buffer.from(''),
    env: { PATH: process.env.PATH },
  })

for (const command of commands) {
  const name = command.replace('.ts', '')

  test(`${name} --help prints its usage`, () => {
    const { exitCode, stdout } = run(command, '--help')
    expect(exitCode).toBe(0)
    expect(stdout.toString()).toStartWith(`usage: bun run ${name}`)
  })

  test(`${name} answers an unknown option with its usage and exit code 64`, () => {
    const { exitCode, stderr } = run(command, '--unknown')
    expect(exitCode).toBe(64)
    expect(stderr.toString()).toContain(`usage: bun run ${name}`)
  })
}
