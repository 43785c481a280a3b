import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Glob } from 'bun'

const root = join(import.meta.dir, '..')
const files = [...new Glob('src/**/*.ts').scanSync(root)].sort()

/** Imports go down only: a module may import modules of a lower level, and its own folder. */
const levels: readonly (readonly string[])[] = [
  ['core'],
  ['settings', 'redis', 'engine'],
  [
    ...['protocols', 'decode', 'normalise', 'projects', 'admit', 'journal'],
    ...['sinks', 'auth', 'realtime', 'ops', 'query', 'sdk'],
  ],
  ['contracts', 'admission'],
  ['ingest'],
  ['http'],
  ['config'],
  ['workers', 'ship-journal'],
  ['storage', 'platform'],
  ['adoption'],
  ['frame'],
  ['observation'],
  ['server'],
  ['supervisor'],
  ['main'],
]

/** The few imports between siblings, each with its reason. */
const siblings: Record<string, string> = {
  'sinks > journal':
    'shippers read the ring and the journal, which live beside them in their thread',
}

/** One vendor, one home: who may import what. Everything else of npm is free to use nowhere. */
const homes: Record<string, RegExp> = {
  elysia: /^src\/http\//,
  '@elysiajs/cors': /^src\/http\//,
  '@elysiajs/openapi': /^src\/http\//,
  kafkajs: /^src\/sinks\/kafka[a-z-]*\.ts$/,
  '@clickhouse/client': /^src\/sinks\/clickhouse[a-z-]*\.ts$/,
  'chdb/connection': /^src\/(sinks\/clickhouse[a-z-]*|query\/[a-z-]+)\.ts$/,
  'chdb/libchdb': /^src\/engine\/[a-z-]+\.ts$/,
  ioredis: /^src\/redis\.ts$/,
  jose: /^src\/auth\//,
  'socket.io': /^src\/realtime\//,
  '@socket.io/bun-engine': /^src\/realtime\//,
  '@socket.io/redis-streams-adapter': /^src\/realtime\//,
  'prom-client': /^src\/ops\//,
  pino: /^src\/ops\//,
  'smol-toml': /^src\/projects\//,
  typebox: /^src\/(config|settings|projects\/[a-z-]+)\.ts$/,
  'typebox/value': /^src\/(settings|projects\/[a-z-]+)\.ts$/,
}

const moduleOf = (path: string) => path.split('/')[1]!.replace(/\.ts$/, '')
const levelOf = (module: string) => levels.findIndex((names) => names.includes(module))

function importsOf(path: string): string[] {
  const source = readFileSync(join(root, path), 'utf8')
  const statements = source.matchAll(/^(?:import|export)\b[^'"]*?\bfrom\s+['"]([^'"]+)['"]/gm)
  const dynamic = source.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)
  return [...statements, ...dynamic].map((match) => match[1]!)
}

function faultOf(path: string, imported: string): string | undefined {
  if (imported.startsWith('.')) return upward(path, imported)
  if (imported.startsWith('node:') || imported === 'bun' || imported.startsWith('bun:')) return
  const home = homes[imported]
  if (!home) return `${path} imports ${imported}, which has no home`
  return home.test(path) ? undefined : `${path} imports ${imported}, whose home is ${home.source}`
}

function upward(path: string, imported: string): string | undefined {
  const target = relative(root, join(root, dirname(path), imported))
  const [from, to] = [moduleOf(path), moduleOf(target)]
  if (from === to || siblings[`${from} > ${to}`]) return
  return levelOf(to) < levelOf(from) ? undefined : `${path} imports ${target}`
}

describe('structure', () => {
  test('every module has a level', () => {
    expect(files.map(moduleOf).filter((module) => levelOf(module) < 0)).toEqual([])
  })

  test('imports go down only, and every vendor has one home', () => {
    expect(
      files.flatMap((path) => importsOf(path).flatMap((name) => faultOf(path, name) ?? [])),
    ).toEqual([])
  })

  test('files stay under 300 lines', () => {
    const long = files.filter(
      (path) => readFileSync(join(root, path), 'utf8').split('\n').length > 301,
    )
    expect(long).toEqual([])
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
