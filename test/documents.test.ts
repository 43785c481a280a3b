import { describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import {
  anchorsOf,
  documents,
  listFiles as list,
  readDocument as read,
  root,
} from './support/documents.ts'

/** The changelog may name what a later version moved. */
const currentDocuments = documents.filter((path) => path !== 'CHANGELOG.md')
const walkthrough = 'docs/walkthrough.md'

/** Documents that the authors had and that a reader of the repository does not have. */
const unavailable = /\bspec README\b|\bdesign\.md\b|\bfacts\/|(?<!contracts\/)\bshared\/(?!\S*\.ts)/

describe('documents', () => {
  test('names the version of Bun that the image has, wherever it is fetched', () => {
    const version = /^FROM oven\/bun:([\d.]+)-slim$/m.exec(read('Dockerfile'))?.[1]
    const fetched = [...documents, '.ci/run'].flatMap((path) =>
      [...read(path).matchAll(/\bnpx -y bun[\w@.-]*/g)].map(([command]) => command),
    )
    expect(new Set(fetched)).toEqual(new Set([`npx -y bun@${version}`]))
  })

  test('relative links point to existing files and headings', () => {
    expect(documents.flatMap(brokenLinks)).toEqual([])
  })

  test('named paths exist', () => {
    expect(currentDocuments.flatMap(missingPaths)).toEqual([])
  })

  test('named scripts exist in package.json', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const missing = documents.flatMap((path) =>
      namedScripts(path).flatMap((name) => (name in scripts ? [] : `${path}: bun run ${name}`)),
    )
    expect(missing).toEqual([])
  })

  test('the walkthrough names functions of the files that it visits', () => {
    const visits = read(walkthrough).split(/^## /m).slice(1).map(toVisit)
    expect(visits.length).toBe(10)
    expect(visits.flatMap(missingNames)).toEqual([])
  })

  test('no comment cites a document that is not in the repository', () => {
    const sources = ['src/**/*', 'test/**/*', 'bench/**/*'].flatMap((folder) =>
      ['.ts', '.sh', '.lua', '.toml'].flatMap((extension) => list(folder + extension)),
    )
    expect(sources.length).toBeGreaterThan(300)
    expect(
      sources.filter((path) => path !== relative(root, import.meta.path)).flatMap(citations),
    ).toEqual([])
  })
})

function brokenLinks(path: string): string[] {
  const text = read(path).replace(/^```.*?^```$/gms, '')
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
  return links
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => !isFound(path, target))
    .map((target) => `${path}: ${target}`)
}

function isFound(from: string, target: string): boolean {
  const [file = '', anchor] = target.split('#')
  const path = file === '' ? from : join(dirname(from), file)
  if (!existsSync(join(root, path))) return false
  return anchor === undefined || anchorsOf(path).has(anchor)
}

/** Paths from the root, as text or in code. A placeholder such as `<contract>` ends one. */
function missingPaths(path: string): string[] {
  const named = read(path).matchAll(/(?<![\w/.-])(?:src|test|bench|docs)\/[\w./-]*/g)
  const paths = [...named].map(([name]) => name.replace(/[./-]+$/, ''))
  return [...new Set(paths)]
    .filter((name) => !existsSync(join(root, name)))
    .map((name) => `${path}: ${name}`)
}

function namedScripts(path: string): string[] {
  return [...read(path).matchAll(/\bbun run (?:--silent )?([a-z][\w:-]*)/g)].map(
    ([, name = '']) => name,
  )
}

type Visit = { file: string; names: string[] }

/** A section: its heading names the file in code, its text names functions as `name()`. */
function toVisit(section: string): Visit {
  const file = /`([^`]+)`/.exec(section)?.[1] ?? ''
  const names = [...section.matchAll(/`([\w.]+)\(\)`/g)].map(([, name = '']) => name)
  return { file, names }
}

function missingNames({ file, names }: Visit): string[] {
  if (!existsSync(join(root, file))) return [`${file} does not exist`]
  const source = read(file)
  return names
    .map((name) => name.split('.').at(-1)!)
    .filter((name) => !new RegExp(`\\b${name}\\b`).test(source))
    .map((name) => `${file} has no ${name}`)
}

/** Comments of TypeScript, shell and Lua that name an unavailable document. */
function citations(path: string): string[] {
  const blocks = [...read(path).matchAll(/\/\*[\s\S]*?\*\/|(?:^|\s)(?:\/\/|#|--).*$/gm)]
  return blocks
    .map(([comment]) => comment)
    .filter((comment) => unavailable.test(comment))
    .map((comment) => `${path}: ${comment.trim().slice(0, 100)}`)
}
