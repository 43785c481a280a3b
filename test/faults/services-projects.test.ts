import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requireKcat } from '../services/kafka-reader.ts'
import { shared } from '../services/shared.ts'
import { settle, toTopicSettings } from '../support/delivery.ts'
import { temporaryFolder } from '../support/folder.ts'
import { readRecords } from '../support/kafka-records.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

setDefaultTimeout(120_000)

const projects = `
[[projects]]
id = "shop"
tokens = ["phc_shop"]

[[projects]]
id = "slow"
tokens = ["phc_slow"]
rate = { per_second = 0.01, burst = 2 }

[[projects]]
id = "small"
tokens = ["phc_small"]
quotas.events = { max = 3, period = "month" }
quotas.recordings = { max = 0, period = "day" }
`

const folder = temporaryFolder()
const projectsPath = join(folder.path, 'projects.toml')
const topics = toTopicSettings(`projects${process.pid}`)
let brokers: string[]
let server: Spillway
beforeAll(async () => {
  writeFileSync(projectsPath, projects)
  await requireKcat()
  brokers = await shared.kafka()
  server = await startSpillway({
    ...topics,
    KAFKA_BROKERS: brokers.join(','),
    PROJECTS_FILE: projectsPath,
    OVERFLOW_PER_SECOND: '1',
    OVERFLOW_BURST: '5',
  })
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const makeEvent = (user: string) => ({
  ...{ event: 'bought', uuid: crypto.randomUUID(), distinct_id: user, properties: {} },
})
const post = (token: string, ...batch: object[]) => {
  const body = JSON.stringify({ api_key: token, batch })
  return fetch(`${server.url}/batch/`, { method: 'POST', body })
}

test('rejects a token that is not in the projects file', async () => {
  const response = await post('phc_other', makeEvent('u'))
  expect(response.status).toBe(401)
  expect(await response.json()).toMatchObject({ code: 0, error: 'unknown_token' })
})

test('answers 429 with Retry-After above the rate of a project', async () => {
  const replies = [1, 2, 3].map(() => post('phc_slow', makeEvent('u')))
  const statuses = (await Promise.all(replies)).map(({ status }) => status)
  expect(statuses.sort()).toEqual([200, 200, 429])
  const refused = await post('phc_slow', makeEvent('u'))
  expect(await refused.json()).toMatchObject({ error: 'rate_limited' })
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  // Other projects are not limited.
  expect((await post('phc_shop', makeEvent('u'))).status).toBe(200)
})

test('drops events above the quota of a project and reports that to the client', async () => {
  const sent = ['a', 'b', 'c', 'd', 'e'].map(makeEvent)
  const reply = await post('phc_small', ...sent)
  const limited = { code: 1, status: 'ok', quota_limited: ['events'] }
  expect([reply.status, await reply.json()]).toEqual([200, limited])
  const recording = {
    ...{ event: '$snapshot', distinct_id: 'a', api_key: 'phc_small' },
    properties: { $session_id: 's-1', $snapshot_data: [{ type: 2 }] },
  }
  const body = JSON.stringify(recording)
  const ofRecording = await fetch(`${server.url}/s/`, { method: 'POST', body })
  expect(await ofRecording.json()).toEqual({ ...limited, quota_limited: ['recordings'] })
  await settle(server)
  const stored = await server.query(
    "SELECT uuid FROM events WHERE project = 'small' ORDER BY toString(uuid)",
  )
  const kept = sent.slice(0, 3).map(({ uuid }) => ({ uuid }))
  expect(stored).toEqual(kept.sort((a, b) => (a.uuid < b.uuid ? -1 : 1)))
  expect(await server.query('SELECT count() AS n FROM recordings')).toEqual([{ n: 0 }])
})

test('sends an overflowing key to the overflow topic without a key, and loses nothing', async () => {
  const sent = Array.from({ length: 20 }, () => makeEvent('hot'))
  expect((await post('phc_shop', ...sent)).status).toBe(200)
  await settle(server)
  const [main, overflow] = await Promise.all([
    readRecords(brokers, topics.KAFKA_TOPIC_EVENTS),
    readRecords(brokers, topics.KAFKA_TOPIC_OVERFLOW),
  ])
  const kept = main.filter(({ key }) => key === 'shop:hot')
  expect([kept.length, overflow.length]).toEqual([5, 15])
  expect(overflow.every(({ key }) => key === '')).toBe(true)
  const uuids = [...kept, ...overflow].map(({ headers }) => headers.uuid)
  expect(uuids.sort()).toEqual(sent.map(({ uuid }) => uuid).sort())
})

test('reloads a changed projects file and keeps the old one after a faulty edit', async () => {
  const added = `${projects}\n[[projects]]\nid = "new"\ntokens = ["phc_new"]\n`
  writeFileSync(projectsPath, added)
  const statusOf = async (token: string) => (await post(token, makeEvent('u'))).status
  await until(async () => (await statusOf('phc_new')) === 200, { what: 'the new project' })
  writeFileSync(projectsPath, `${added}\n[[projects]]\nid = 7\ntokens = "phc_bad"\n`)
  await until(() => server.log().includes('the projects file is faulty'), { what: 'the log line' })
  expect([await statusOf('phc_new'), await statusOf('phc_bad')]).toEqual([200, 401])
  writeFileSync(projectsPath, projects)
  await until(async () => (await statusOf('phc_new')) === 401, {
    what: 'the removal of the project',
  })
})
