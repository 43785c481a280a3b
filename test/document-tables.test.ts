import { describe, expect, test } from 'bun:test'
import { dirname } from 'node:path'
import { settingsSchema } from '../src/config/config.ts'
import { toHint } from '../src/console/hints.ts'
import { statusOf } from '../src/core/errors.ts'
import { projectsFileSchema } from '../src/projects/schema.ts'
import { blocksOf, documents, listFiles, readDocument } from './support/documents.ts'
import { settingsDocument } from './support/settings-document.ts'
import { tablesDocument } from './support/tables-document.ts'

/** Tables and names of the documents that the code decides. */
const currentDocuments = documents.filter((path) => path !== 'CHANGELOG.md')

/** The cells of the tables' rows whose first cell is code. */
const rowsOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()))

describe('pages made by a script', () => {
  test('docs/settings.md: if it differs, bun test/support/settings-document.ts > docs/settings.md', () => {
    expect(readDocument('docs/settings.md')).toBe(settingsDocument())
  })

  test('docs/tables.md: if it differs, bun test/support/tables-document.ts > docs/tables.md', () => {
    expect(readDocument('docs/tables.md')).toBe(tablesDocument())
  })
})

describe('docs/contracts/README.md', () => {
  const text = readDocument('docs/contracts/README.md')

  test('lists every error code with its status, and says what to do as the console does', () => {
    const listed = rowsOf(text.slice(text.indexOf('## Error codes'))).map(
      ([, code = '', status, , hint]) => ({ code: code.replaceAll('`', ''), status, hint }),
    )
    const expected = Object.entries(statusOf).map(([code, status]) => ({
      ...{ code, status: String(status), hint: toHint(code) },
    }))
    const byCode = (a: { code: string }, b: { code: string }) => (a.code < b.code ? -1 : 1)
    expect(listed.sort(byCode)).toEqual(expected.sort(byCode))
  })

  test('lists every route of the server', () => {
    const routes = text.slice(text.indexOf('## Routes'), text.indexOf('## Rules'))
    const listed = rowsOf(routes).flatMap(([, paths = '']) =>
      [...paths.matchAll(/`([^`]+)`/g)].map(([, path]) => path!),
    )
    const source = readDocument('src/http/routes.ts')
    const served = [...source.matchAll(/'(\/[^']*)'/g)].map(([, path]) => path!)
    expect(served.length).toBeGreaterThan(20)
    expect(served.filter((path) => !listed.includes(path))).toEqual([])
    // Served elsewhere: `src/http/listen.ts`, `src/http/console.ts`.
    const elsewhere = ['/socket.io/', '/console']
    expect(listed.filter((path) => !served.includes(path))).toEqual(elsewhere)
  })
})

test('docs/projects.md lists every key of the projects file', () => {
  const page = readDocument('docs/projects.md')
  for (const part of ['projects', 'clients', 'users'] as const) {
    const [, section = ''] = page.split(`### ${part}\n`)
    const table = section.split('\n#', 1)[0]!
    const listed = rowsOf(table).flatMap(([, keys = '']) => keys.replaceAll('`', '').split(' '))
    expect(listed).toEqual(keysOf(projectsFileSchema.properties[part].items))
  }
})

/** The keys of a table; of the tables in it `name.key`, except of those whose names a person chooses. */
function keysOf({ properties }: { properties: object }): string[] {
  const nested = ['rate', 'quotas', 'sdk']
  return Object.entries(properties).flatMap(([key, field]) =>
    nested.includes(key) ? keysOf(field).map((inner) => `${key}.${inner}`) : [key],
  )
}

test('docs/README.md leads to every page below docs/', () => {
  const index = readDocument('docs/README.md')
  const pages = listFiles('docs/**/*.md')
    .map((path) => path.slice('docs/'.length))
    .filter((path) => path !== 'README.md' && dirname(path) !== 'decisions')
  expect(pages.filter((path) => !index.includes(`(${path})`))).toEqual([])
})

test('every document with commands is read by a test that runs them', () => {
  const tests = listFiles('test/**/*.test.ts').map(readDocument).join('\n')
  const namesOnly = readDocument('test/clients/document-commands.test.ts')
  const withCommands = currentDocuments
    .filter((path) => path.startsWith('docs/') || path.startsWith('README'))
    .filter((path) => blocksOf(path, 'sh').length > 0)
  expect(withCommands.length).toBeGreaterThan(10)
  const isRead = (path: string) =>
    path.startsWith('docs/contracts/') ||
    tests.includes(`'${path}'`) ||
    namesOnly.includes(`'${path.slice('docs/'.length, -'.md'.length)}'`)
  expect(withCommands.filter((path) => !isRead(path))).toEqual([])
})

test('documents name settings that exist', () => {
  const known = Object.keys(settingsSchema.properties)
  const families = known.map((name) => name.split('_')[0])
  // Decisions may name what was tried.
  const current = currentDocuments.filter((path) => !path.startsWith('docs/decisions/'))
  const unknown = current.flatMap((path) =>
    [...readDocument(path).matchAll(/`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`/g)]
      .map(([, name]) => name!)
      // Names of other programs begin with other words.
      .filter((name) => families.includes(name.split('_')[0]) && !known.includes(name))
      .filter((name) => !otherNames.includes(name) && !(name.toLowerCase() in statusOf))
      .map((name) => `${path}: ${name}`),
  )
  expect(unknown).toEqual([])
})

/** Variables of other programs, although they begin like some settings. */
const otherNames: readonly string[] = ['POSTHOG_CAPTURE_MODE', 'NODE_EXTRA_CA_CERTS']

test('docs/troubleshooting.md quotes texts that the server prints', () => {
  const sources = listFiles('src/**/*.ts').map(readDocument).join('\n')
  const quotes = readDocument('docs/troubleshooting.md')
    .split('\n')
    .flatMap((line) => line.split('`').filter((_, index) => index % 2 === 1))
    // Texts of other programs, and what a person types.
    .filter((text) => / /.test(text) && !/^(?:bun|ss|ulimit|GET|opt_out\w*)\b/.test(text))
  expect(quotes.length).toBeGreaterThan(5)
  const parts = quotes.flatMap((text) =>
    text.split('…').map((part) => part.replace(/^\W+|\W+$/g, '')),
  )
  expect(parts.filter((part) => !sources.includes(part))).toEqual([])
})

test('docs/metrics.md lists every metric with its text', () => {
  const sources = listFiles('src/**/*.ts')
    .map(readDocument)
    .join('\n')
    .replace(/'\s*\+\s*'/g, '')
  const named = [...sources.matchAll(/['"`](spillway_[a-z_]*[a-z])['"`]/g)]
    .map(([, name]) => name!)
    .filter((name) => !/_(?:bucket|sum|count)$|^spillway_test$/.test(name))
  const rows = rowsOf(readDocument('docs/metrics.md').split('## All metrics')[1] ?? '')
  const listed = rows.map(([, name = '']) => name.replaceAll('`', ''))
  expect(listed.toSorted()).toEqual([...new Set(named)].toSorted())
  // The sentence about labels may be added to the text by a function.
  const texts = rows.map(([, , , text = '']) => text.replace(/, by contract$| \(only with .*/, ''))
  expect(texts.filter((text) => !sources.includes(text))).toEqual([])
})

test('documents name metrics that exist', () => {
  const sources = listFiles('src/**/*.ts').map(readDocument).join('\n')
  const unknown = currentDocuments.flatMap((path) =>
    [...readDocument(path).matchAll(/\bspillway_[a-z_]*[a-z]\b(?!\*)/g)]
      .map(([name]) => name.replace(/_(?:bucket|sum|count)$/, ''))
      .filter((name) => !sources.includes(name))
      .map((name) => `${path}: ${name}`),
  )
  expect(unknown).toEqual([])
})
