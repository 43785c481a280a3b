import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'
import { type Pipeline, post, startPipeline } from './support.ts'

/** Projects that keep no addresses and drop properties, through the real server and both sinks. */
setDefaultTimeout(120_000)

const projects = ['drop', 'truncate', 'keep']
  .map(
    (ip) => `
[[projects]]
id = "${ip}"
tokens = ["phc_${ip}"]
api_keys = ["sk_${ip}"]
apps = ["app-${ip}"]
origins = ["https://shop.example"]
${ip === 'keep' ? '' : `ip = "${ip}"\ndrop_properties = ["email", "prénom", "referrer", "user_agent", "$user_agent", "team_attributes", "link_tags"]`}
`,
  )
  .join('')

const address = '203.0.113.77'
const adminToken = 'a'.repeat(16)
const secret = 'ada@secret.example'

let folder: ReturnType<typeof temporaryFolder>
let server: Pipeline
beforeAll(async () => {
  folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  writeFileSync(path, projects)
  server = await startPipeline({
    PROJECTS_FILE: path,
    TRUSTED_PROXIES: '127.0.0.1',
    ACCESS_LOG: 'false',
    ADMIN_TOKEN: adminToken,
  })
}, 120_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const forwarded = { 'x-forwarded-for': address, 'user-agent': `browser ${secret}` }
const properties = {
  email: secret,
  $ip: address,
  n: 1,
  deep: [{ email: secret, a: 1 }],
  referrer: secret,
}
const reportHeaders = { 'x-user-id': 'u', 'x-app-id': 'a', 'x-platform': 'ios', 'x-version': '1' }
const telemetry = { type: 'page', name: '/', ts: 1, release: '1', sessionId: 's' }

type Send = (project: string) => { path: string; body: unknown; headers?: Record<string, string> }

/** Good and bad events of each contract, small and large. */
const sends: Record<string, Send> = {
  capture: (project) => ({
    path: '/batch/',
    body: {
      api_key: `phc_${project}`,
      batch: [
        {
          event: 'good',
          distinct_id: 'd',
          ip: address,
          properties: { ...properties, $set: { email: secret } },
        },
        { event: '', distinct_id: 'd', ip: address, properties },
      ],
    },
  }),
  'capture in a large body': (project) => ({
    path: '/batch/',
    body: {
      api_key: `phc_${project}`,
      batch: [
        {
          event: 'large',
          distinct_id: 'd',
          properties: { ...properties, text: 'x'.repeat(200_000) },
        },
        { event: '', distinct_id: 'd', ip: address, properties },
      ],
    },
  }),
  recording: (project) => ({
    path: '/s/',
    body: {
      api_key: `phc_${project}`,
      event: '$snapshot',
      properties: {
        ...{ distinct_id: 'd', $session_id: 's', $ip: address, email: secret },
        $snapshot_data: [{ type: 2, data: {}, timestamp: 1 }],
      },
    },
  }),
  link: (project) => ({
    path: '/api/events/track',
    body: {
      ...{ event_type: 'click', project_id: project, visitor_id: 'v', ip_address: address },
      ...{ referrer: secret, user_agent: secret, user_attributes: { email: secret, b: 2 } },
      ...{ team_attributes: { a: secret }, link_tags: [secret] },
      // JSON as PHP writes it, with escapes.
      event_attributes: `{"pr\\u00e9nom":"${secret}","c":1.50}`,
    },
  }),
  'a bad link event': (project) => ({
    path: '/api/events/track',
    body: {
      event_type: 5,
      project_id: project,
      ip_address: address,
      user_attributes: { email: secret },
    },
  }),
  report: (project) => ({
    path: '/users/report/events',
    headers: { ...reportHeaders, 'x-api-key': `sk_${project}` },
    body: { events: [{ name: 'open', user: 'u', sessionId: 's', data: properties, properties }] },
  }),
  'a bad report': (project) => ({
    path: '/users/report/events',
    headers: { ...reportHeaders, 'x-api-key': `sk_${project}` },
    body: { events: [{ name: 5, properties, data: properties }] },
  }),
  telemetry: (project) => ({
    path: '/api/telemetry/events',
    body: [
      {
        ...telemetry,
        id: `good-${project}`,
        app: `app-${project}`,
        props: properties,
        user: { id: 'u', email: secret },
      },
      { ...telemetry, id: 5, app: `app-${project}`, props: properties },
    ],
  }),
}

const tables = {
  events: 'project',
  link_events: 'project_id',
  recordings: 'project',
  dead_letters: 'project',
}

async function sendAll(project: string): Promise<void> {
  for (const toRequest of Object.values(sends)) {
    const { path, body, headers = {} } = toRequest(project)
    const foreign = { ...forwarded, ...headers, origin: 'https://other.example' }
    expect((await post(`${server.url}${path}`, body, foreign)).status).toBe(403)
    const { status } = await post(`${server.url}${path}`, body, { ...forwarded, ...headers })
    expect([200, 201, 202, 400, 422]).toContain(status)
  }
}

const rowsOf = async (project: string) => {
  const rows: Record<string, Record<string, unknown>[]> = {}
  const least = { events: 4, link_events: 1, recordings: 1, dead_letters: 5 }
  for (const [table, column] of Object.entries(tables))
    rows[table] = await server.rows(
      `SELECT * FROM ${table} WHERE ${column} = '${project}'`,
      least[table as keyof typeof least],
    )
  return rows
}

describe('a project that drops addresses and properties', () => {
  test('has none of them anywhere: tables, topics, journal, console', async () => {
    await sendAll('drop')
    const rows = await rowsOf('drop')
    const records = [
      ...(await server.records('events', 4)),
      ...(await server.records('link_events', 1)),
      ...(await server.records('recordings', 1)),
    ]
    const shown = ['overview', 'dead-letters', 'refusals', 'trace?id=d'].map(async (path) => {
      const reply = await fetch(`${server.url}/console/api/${path}`, {
        headers: { authorization: `Bearer ${adminToken}` },
      })
      expect(reply.status).toBe(200)
      return await reply.text()
    })
    const journal = join(server.dataDir, 'journal')
    const places = {
      rows: JSON.stringify(rows),
      records: JSON.stringify(records),
      console: (await Promise.all(shown)).join('\n'),
      journal: readdirSync(journal)
        .map((name) => readFileSync(join(journal, name), 'latin1'))
        .join('\n'),
    }
    const found = Object.entries(places).flatMap(([place, text]) =>
      [address, '203.0.113', secret]
        .filter((part) => text.includes(part))
        .map((part) => `${place}: ${part}`),
    )
    expect(found).toEqual([])
    expect(rows.events!.map(({ ip, user_agent }) => [ip, user_agent])).toEqual(
      rows.events!.map(() => ['', '']),
    )
    const good = rows.events!.find(({ event }) => event === 'good')!
    expect(JSON.parse(String(good.properties))).toMatchObject({ n: 1, deep: [{ a: 1 }] })
    expect(good.user).toBe('{"$set":{}}')
    expect(rows.link_events![0]).toMatchObject({
      ip_address: '',
      user_attributes: '{"b":2}',
      event_attributes: '{"c":1.50}',
      team_attributes: '{}',
      link_tags: [],
      visitor_id: 'v',
    })
  })

  test('that truncates has networks only', async () => {
    await sendAll('truncate')
    const rows = await rowsOf('truncate')
    const text = JSON.stringify(rows)
    expect([address, secret].filter((part) => text.includes(part))).toEqual([])
    const addresses = Object.values(rows).flatMap((found) =>
      found.map(({ ip, ip_address }) => ip ?? ip_address),
    )
    expect(new Set(addresses)).toEqual(new Set(['203.0.113.0']))
  })

  test('leaves other projects as they are', async () => {
    await sendAll('keep')
    const rows = await rowsOf('keep')
    const good = rows.events!.find(({ event }) => event === 'good')!
    expect(good).toMatchObject({ ip: address, user_agent: forwarded['user-agent'] })
    expect(JSON.parse(String(good.properties))).toMatchObject(properties)
    expect(rows.dead_letters!.every(({ ip }) => ip === address)).toBe(true)
  })

  test('treats one batch of telemetry by the project of each event', async () => {
    const events = ['drop', 'keep'].map((name) => ({
      ...{
        ...telemetry,
        id: `mixed-${name}`,
        app: `app-${name}`,
        name: 'mixed',
        props: properties,
      },
    }))
    await post(`${server.url}/api/telemetry/events`, events, forwarded)
    const rows = await server.rows<{ project: string; ip: string; properties: string }>(
      `SELECT project, ip, properties FROM events WHERE event = 'mixed' ORDER BY project`,
      2,
    )
    expect(rows.map(({ project, ip }) => [project, ip])).toEqual([
      ['drop', ''],
      ['keep', address],
    ])
    expect(rows.map(({ properties }) => properties.includes(secret))).toEqual([false, true])
  })
})
