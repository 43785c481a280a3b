import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requireCommand, run } from '../services/install.ts'
import { temporaryFolder } from '../support/folder.ts'
import { readMetrics } from '../support/metrics.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(240_000)

const deploy = join(import.meta.dir, '../../deploy')
const rulesFolder = join(deploy, 'prometheus')
const read = (path: string) => readFileSync(join(deploy, path), 'utf8')

type Dashboard = {
  panels: { id: number; title: string; description: string; targets: { expr: string }[] }[]
}
type Rules = {
  groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[]
}

const dashboard = JSON.parse(read('grafana/spillway.json')) as Dashboard
const rules = (Bun.YAML.parse(read('prometheus/alerts.yml')) as Rules).groups.flatMap(
  (one) => one.rules,
)

let server: Spillway
let metrics: string

beforeAll(async () => {
  await requireCommand('promtool', 'prometheus')
  server = await startSpillway()
  const send = (body: object) =>
    fetch(`${server.url}/e/`, {
      method: 'POST',
      body: JSON.stringify({ api_key: 'phc_m', ...body }),
    })
  await send({ event: 'e', distinct_id: 'd' })
  await send({ event: '', distinct_id: 'd' })
  metrics = await until(async () => {
    const text = await readMetrics(server.url)
    return text.includes('spillway_sink_shipped_total{') ? text : undefined
  })
})
afterAll(async () => await server?.[Symbol.asyncDispose]())

const promtool = async (args: string[], cwd = rulesFolder) => await run(['promtool', ...args], cwd)

test('the metrics follow the conventions of Prometheus', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'metrics.txt')
  writeFileSync(path, metrics)
  const command = ['sh', '-c', `promtool check metrics < ${path}`]
  expect(await run(command)).toEqual({ exitCode: 0, output: '' })
})

test('each metric explains itself', () => {
  const helps = [...metrics.matchAll(/^# HELP (spillway_\w+) (.*)$/gm)]
  expect(helps.length).toBeGreaterThan(50)
  // A name of a setting or a repeated name explains nothing.
  expect(helps.filter(([, , help = '']) => help.split(' ').length < 2)).toEqual([])
})

test('a sink has up, lag and last success, and projects have few labels', () => {
  expect(metrics).toMatch(/^spillway_build_info\{version="\d\S*",bun="\d\S*"\} 1$/m)
  expect(metrics).toMatch(/^spillway_sink_up\{sink="clickhouse"\} 1$/m)
  expect(metrics).toMatch(/^spillway_sink_lag_seconds\{sink="clickhouse"\} [\d.]+$/m)
  const [, seconds] =
    /^spillway_sink_last_success_timestamp_seconds\{sink="clickhouse"\} (\S+)$/m.exec(metrics) ?? []
  expect(Math.abs(Date.now() / 1000 - Number(seconds))).toBeLessThan(120)
  // Without a projects file clients choose the names of projects.
  expect(metrics).toContain('spillway_project_events_total{project="other",outcome="accepted"} 1')
  expect(metrics).not.toContain('phc_m')
})

/** Names in a query, without the labels in braces. */
const namesOf = (expr: string) =>
  expr.replaceAll(/\{[^}]*\}/g, '').match(/\b(?:spillway|process|nodejs)_\w+/g) ?? []

/** Exported names: the samples, and the families that have no sample yet, such as retries by reason. */
function exportedNames(): Set<string> {
  const names = new Set<string>()
  for (const [, name = '', type] of metrics.matchAll(/^# TYPE (\w+) (\w+)$/gm))
    for (const suffix of type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''])
      names.add(name + suffix)
  return names
}

test('every query of the dashboard and of the alerts names metrics that the server exports', () => {
  const exported = exportedNames()
  const queries = [
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...rules.map(({ expr }) => expr),
  ]
  const unknown = queries.flatMap((query) => namesOf(query).filter((name) => !exported.has(name)))
  expect(queries.length).toBeGreaterThan(40)
  expect(unknown).toEqual([])
})

test('the queries of the dashboard are valid, and its panels say what they show', async () => {
  using folder = temporaryFolder()
  const exprs = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  const recorded = exprs.map((expr, at) => ({
    record: `query_${at}`,
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'),
  }))
  const path = join(folder.path, 'queries.yml')
  writeFileSync(path, JSON.stringify({ groups: [{ name: 'dashboard', rules: recorded }] }))
  const { exitCode, output } = await promtool(['check', 'rules', path])
  expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
  expect(dashboard.panels.filter(({ title, description }) => !title || !description)).toEqual([])
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
})

test('the alerts are valid, fire when they should, and say what to do', async () => {
  for (const args of [
    ['check', 'config', '--syntax-only', 'prometheus.yml'],
    ['check', 'rules', 'alerts.yml'],
    ['test', 'rules', 'alerts.test.yml'],
  ])
    expect({ args, ...(await promtool(args)) }).toMatchObject({ args, exitCode: 0 })
  expect(rules.filter(({ annotations }) => !annotations.summary || !annotations.runbook)).toEqual(
    [],
  )
  const manual = readFileSync(join(import.meta.dir, '../../docs/operating.md'), 'utf8')
  expect(rules.filter(({ alert }) => !manual.includes(`| \`${alert}\` |`))).toEqual([])
  const tested = read('prometheus/alerts.test.yml')
  expect(rules.filter(({ alert }) => !tested.includes(alert))).toEqual([])
})
