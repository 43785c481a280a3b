import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { toTopicSettings } from '../../support/delivery.ts'
import { blocksOf, root } from '../../support/documents.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { startSpillway } from '../../support/spillway.ts'
import { until } from '../../support/until.ts'
import { type ClickHouseService, startClickHouse } from '../clickhouse.ts'
import { type S3Service, startS3 } from '../s3.ts'
import { shared } from '../shared.ts'

setDefaultTimeout(240_000)

/** Runs the commands of docs/archive.md: lines that begin with `#` are what they print. */
const lines = blocksOf('docs/archive.md', 'sh').flatMap((text) => text.trim().split('\n'))
const asked = new Set<string>()

const folder = temporaryFolder()
const archive = join(folder.path, 'archive')
let s3: S3Service
let clickhouse: ClickHouseService
let settings: Record<string, string>
beforeAll(async () => {
  mkdirSync(archive)
  ;[s3, clickhouse] = await Promise.all([startS3(), startClickHouse()])
  settings = {
    ...s3.environment,
    ...toTopicSettings(`archive_page_${process.pid}`),
    CLICKHOUSE_URL: `${clickhouse.url}/archive_page`,
    KAFKA_BROKERS: (await shared.kafka()).join(','),
  }
}, 240_000)
afterAll(async () => {
  await Promise.all([s3?.stop(), clickhouse?.stop()])
  folder[Symbol.dispose]()
})

const toDay = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)

/** Runs the line that contains `part`, with the places and days of this test. */
async function run(part: string, { options = '', environment = {} } = {}) {
  const found = lines.filter((line) => !line.startsWith('#') && line.includes(part))
  expect(found).toHaveLength(1)
  asked.add(found[0]!)
  const command = found[0]!
    .replace('s3://my-bucket/', `s3://${s3.bucket}/`)
    .replace('/mnt/archive', archive)
    .replace(/--from \d{4}-\d\d-\d\d/, `--from ${toDay(-1)}`)
    .replace(/--to \d{4}-\d\d-\d\d/, `--to ${toDay(1)}`)
  const child = Bun.spawn(['sh', '-c', command + options], {
    cwd: root,
    env: {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      ...{ HOME: process.env.HOME ?? '', DATA_DIR: join(folder.path, 'data') },
      ...{ ...settings, ...environment },
    },
    ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { exitCode: await child.exited, output: output + errors }
}

test('both places can be reached', async () => {
  for (const part of ['s3://my-bucket', '/mnt/archive']) {
    const { exitCode, output } = await run(part, { options: ' --check-config' })
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 })
    expect(output).toContain('ARCHIVE')
  }
})

test('a replay fills a new ClickHouse, and the topic again', async () => {
  const server = await startSpillway({ ...settings, ARCHIVE: archive, ARCHIVE_FLUSH_MS: '100' })
  try {
    const event = { api_key: 'phc_page', event: 'e', distinct_id: 'd' }
    for (let sent = 0; sent < 3; sent += 1)
      await fetch(`${server.url}/e/`, { method: 'POST', body: JSON.stringify(event) })
    const isDrained = async () => (await scrape(server.url))('spillway_sink_waiting_records') === 0
    await until(isDrained, { timeoutMs: 90_000, pauseMs: 100, what: 'an empty backlog' })
  } finally {
    await server[Symbol.asyncDispose]()
  }
  const environment = { ARCHIVE: archive, CLICKHOUSE_URL: `${clickhouse.url}/archive_page_new` }
  const whole = await run('--to 2026', { environment })
  expect(whole).toMatchObject({ exitCode: 0 })
  const [shown = ''] = lines.filter((line) => line.startsWith('# object'))
  const pattern = shown.slice(2).replace('412 of 412', '(\\d+) of \\1').replaceAll('1204332', '3')
  expect(whole.output).toMatch(new RegExp(pattern))
  expect(await run('--sink kafka', { environment })).toMatchObject({ exitCode: 0 })
})

test('every command is run', () => {
  expect(lines.filter((line) => !line.startsWith('#') && !asked.has(line))).toEqual([])
})
