import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(60_000)

const read = (name: string) => readFileSync(join(import.meta.dir, '../..', name), 'utf8')
const blocks = [...read('README.zh-CN.md').matchAll(/```sh\n(.*?)```/gs)].map(
  ([, text = '']) => text,
)
/** A command, and the output that its comment shows. */
const examples = blocks
  .filter((block) => block.startsWith('curl'))
  .map((block) => {
    const [command = '', output = ''] = block.split('\n# ')
    return { command, output: output.trim() }
  })

test('the Chinese README has the commands of the English one', () => {
  const english = read('README.md')
  expect(blocks.length).toBe(6)
  const commands = blocks.map((block) => block.split('\n# ')[0]!.trim())
  expect(commands.filter((command) => !english.includes(command))).toEqual([])
})

test('every command of the Chinese README prints what it shows', async () => {
  await using server = await startSpillway()
  const run = (command: string) => {
    const here = command
      .replace('http://127.0.0.1:3000', server.url)
      .replace('http://127.0.0.1:8123', server.queryUrl)
    return Bun.spawnSync(['sh', '-c', here]).stdout.toString().trim()
  }
  for (const { command, output } of examples) {
    if (command.includes(':8123')) await until(() => run(command), { what: 'the event' })
    expect(run(command)).toBe(output)
  }
})
