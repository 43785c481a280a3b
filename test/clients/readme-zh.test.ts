import { expect, setDefaultTimeout, test } from 'bun:test'
import { blocksOf, readDocument } from '../support/documents.ts'
import { startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(60_000)

const [english, chinese] = ['README.md', 'README.zh-CN.md'] as const

test('the Chinese README has the commands of the English one', () => {
  for (const language of ['sh', 'toml'])
    expect(blocksOf(chinese, language)).toEqual(blocksOf(english, language))
})

test('the Chinese README has the sections, tables, images and links of the English one', () => {
  expect(shapeOf(chinese)).toEqual(shapeOf(english))
})

/** Levels of headings, rows of tables by their first cell in code, and links, in order. */
function shapeOf(path: string) {
  const text = readDocument(path).replaceAll(/README(?:\.zh-CN)?\.md/g, 'README.md')
  const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, part]) => part)
  return {
    headings: all(/^(#+) /gm),
    rows: all(/^(\|)/gm).length,
    links: all(/\]\(([^)]+)\)/g),
    settings: all(/`([A-Z]+_[A-Z_]+)`/g),
  }
}

test('every command of the Chinese README prints what it shows', async () => {
  await using server = await startSpillway()
  const run = (command: string) => {
    const here = command
      .replace('http://127.0.0.1:3000', server.url)
      .replace('http://127.0.0.1:8123', server.queryUrl)
    return Bun.spawnSync(['sh', '-c', here]).stdout.toString().trimEnd()
  }
  const examples = blocksOf(chinese, 'sh').filter((block) => block.startsWith('curl'))
  expect(examples.length).toBe(2)
  for (const example of examples) {
    const lines = example.trimEnd().split('\n')
    const command = lines.filter((line) => !line.startsWith('# ')).join('\n')
    const output = lines.filter((line) => line.startsWith('# ')).map((line) => line.slice(2))
    if (command.includes(':8123')) await until(() => run(command), { what: 'the event' })
    expect(run(command).split('\n')).toEqual(output)
  }
})
