import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Glob } from 'bun'

const root = join(import.meta.dir, '..')
const files = [...new Glob('src/**/*.{ts,tsx}').scanSync(root)].sort()
const sources = new Map(files.map((path) => [path, readFileSync(join(root, path), 'utf8')]))

/** Imports go down only: a folder may import folders of a lower level, and itself. */
const levels: readonly (readonly string[])[] = [
  ['core', 'config'],
  ['redis'],
  ['contracts', 'journal', 'platform', 'embedded', 'projects', 'observability'],
  ['ingest', 'delivery'],
  ['console'],
  ['http'],
  ['app'],
  ['cluster'],
  ['main', 'cli'],
]

/** One vendor, one home. A package that is not listed here may not be imported. */
const homes: Record<string, readonly string[]> = {
  elysia: ['http'],
  '@elysiajs/cors': ['http'],
  kafkajs: ['delivery/kafka'],
  '@node-rs/crc32': ['delivery/kafka'],
  '@clickhouse/client': ['delivery/clickhouse'],
  'chdb/connection': ['delivery/clickhouse', 'embedded'],
  'chdb/libchdb': ['embedded/chdb'],
  ioredis: ['redis'],
  jose: ['platform/auth'],
  'socket.io': ['platform/realtime'],
  '@socket.io/bun-engine': ['platform/realtime'],
  '@socket.io/redis-streams-adapter': ['platform/realtime'],
  'prom-client': ['observability'],
  pino: ['observability'],
  'smol-toml': ['projects'],
  'ua-parser-js': ['ingest/enrich'],
  isbot: ['ingest/enrich'],
  'mmdb-lib': ['ingest/enrich'],
  preact: ['console/page'],
  'preact/hooks': ['console/page'],
  '@preact/signals': ['console/page'],
  uplot: ['console/page'],
  'uplot/dist/uPlot.min.css': ['console/page'],
  typebox: ['config', 'projects'],
  'typebox/value': ['config', 'projects'],
}

// The console shows data of every part, and searches each place where an event can be.
// Operators have commands and checks of their own. Tables have comments and views.
// The page of the console has a file for each of its pages and parts.
// The archive is a sink, and a replay reads it. Privacy and the deletion of a person are steps of their own.
// Enrichment has a file for each of its parts.
const filesMax = 380
const linesMax = 300

const folderOf = (path: string) => path.split('/')[1]!.replace(/\.ts$/, '')
const levelOf = (folder: string) => levels.findIndex((names) => names.includes(folder))

function importsOf(path: string): string[] {
  const source = sources.get(path)!
  const statements = source.matchAll(/^(?:import|export)\b[^'"]*?\bfrom\s+['"]([^'"]+)['"]/gm)
  const dynamic = source.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)
  const bare = source.matchAll(/^import\s+['"]([^'"]+)['"]/gm)
  return [...statements, ...dynamic, ...bare].map((match) => match[1]!)
}

const toPath = (from: string, imported: string) =>
  relative(root, join(root, dirname(from), imported))

const localImportsOf = (path: string) =>
  importsOf(path)
    .filter((name) => name.startsWith('.') && /\.tsx?$/.test(name))
    .map((name) => toPath(path, name))

function importFault(path: string, imported: string): string | undefined {
  if (imported.startsWith('.')) return levelFault(path, toPath(path, imported))
  if (imported.startsWith('node:') || imported === 'bun' || imported.startsWith('bun:')) return
  const allowed = homes[imported]
  if (!allowed) return `${path} imports ${imported}, which has no home`
  if (allowed.some((folder) => path.startsWith(`src/${folder}/`))) return
  return `${path} imports ${imported}, whose home is ${allowed.join(', ')}`
}

function levelFault(path: string, target: string): string | undefined {
  // These files show the version.
  const showVersion = [
    'src/main.ts',
    'src/app/console.ts',
    'src/app/introduction.ts',
    'src/observability/metrics.ts',
  ]
  if (showVersion.includes(path) && target === 'package.json') return
  const [from, to] = [folderOf(path), folderOf(target)]
  if (from === to || levelOf(to) < levelOf(from)) return
  return `${path} imports ${target}, which is not below it`
}

/** The first circle of imports found, type imports included, as a list of files. */
function findCircle(): string[] {
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): string[] => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (done.has(path)) return []
    for (const target of localImportsOf(path)) {
      const circle = visit(target, [...trail, path])
      if (circle.length > 0) return circle
    }
    done.add(path)
    return []
  }
  for (const path of files) {
    const circle = visit(path, [])
    if (circle.length > 0) return circle
  }
  return []
}

function exportedTypes(): Map<string, string[]> {
  const declared = new Map<string, string[]>()
  for (const [path, source] of sources) {
    for (const [, name] of source.matchAll(/^export (?:type|interface|class) (\w+)/gm)) {
      declared.set(name!, [...(declared.get(name!) ?? []), path])
    }
  }
  return declared
}

describe('structure', () => {
  test('every folder of src has a level, and only main.ts lies loose', () => {
    expect(files.map(folderOf).filter((folder) => levelOf(folder) < 0)).toEqual([])
    expect(files.filter((path) => path.split('/').length === 2)).toEqual(['src/main.ts'])
  })

  test('imports go down only, and every vendor has one home', () => {
    expect(
      files.flatMap((path) => importsOf(path).flatMap((name) => importFault(path, name) ?? [])),
    ).toEqual([])
  })

  test('no import circles, type imports included', () => {
    expect(findCircle()).toEqual([])
  })

  test('an exported type is declared once', () => {
    expect([...exportedTypes()].filter(([, paths]) => paths.length > 1)).toEqual([])
  })

  test(`at most ${filesMax} files of at most ${linesMax} lines`, () => {
    expect(files.length).toBeLessThanOrEqual(filesMax)
    const long = [...sources].filter(([, source]) => source.split('\n').length > linesMax + 1)
    expect(long.map(([path]) => path)).toEqual([])
  })

  test('functions stay under 70 lines and three parameters, and the environment is read in main only', () => {
    const rules = [
      'complexity/noExcessiveLinesPerFunction',
      'complexity/useMaxParams',
      'style/noProcessEnv',
    ]
    const only = rules.map((rule) => `--only=${rule}`)
    const biome = join(root, 'node_modules/.bin/biome')
    const { exitCode, stdout } = Bun.spawnSync([biome, 'lint', ...only, 'src'], {
      cwd: root,
      stderr: 'ignore',
    })
    expect({ exitCode, report: exitCode === 0 ? '' : stdout.toString() }).toEqual({
      exitCode: 0,
      report: '',
    })
  })
})
