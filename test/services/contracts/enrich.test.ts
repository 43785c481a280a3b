import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { linkColumns } from '../../../src/core/event.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { scrape } from '../../support/metrics.ts'
import { until } from '../../support/until.ts'
import { atLeast, type Pipeline, post, startPipeline } from './support.ts'

/** Enrichment through the real server, into the embedded ClickHouse and Kafka. */
setDefaultTimeout(60_000)

const projects = `
[[projects]]
id = "on"
tokens = ["phc_on"]
api_keys = ["sk_on"]
apps = ["app-on"]
enrich = ["user_agent", "geo", "bots", "utm"]

[[projects]]
id = "off"
tokens = ["phc_off"]

[[projects]]
id = "private"
tokens = ["phc_private"]
enrich = ["user_agent", "geo"]
ip = "drop"
drop_properties = ["$os_version"]

[[projects]]
id = "strict"
tokens = ["phc_strict"]
api_keys = ["sk_strict"]
enrich = ["bots"]
bots = "drop"
`

const adminToken = 'token-of-the-operator'
const fixtures = join(import.meta.dir, '../../fixtures/geoip')
let folder: ReturnType<typeof temporaryFolder>
let server: Pipeline
let projectsPath: string
let geoPath: string
beforeAll(async () => {
  folder = temporaryFolder()
  projectsPath = join(folder.path, 'projects.toml')
  geoPath = join(folder.path, 'geo.mmdb')
  writeFileSync(projectsPath, projects)
  copyFileSync(join(fixtures, 'GeoLite2-Country-Test.mmdb'), geoPath)
  server = await startPipeline({
    PROJECTS_FILE: projectsPath,
    GEOIP_FILE: geoPath,
    TRUSTED_PROXIES: '127.0.0.1',
    // Behind a proxy an operator is not told by the address.
    ADMIN_TOKEN: adminToken,
  })
}, 120_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const iphone =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Mobile/15E148 Safari/604.1'
const visitor = { 'user-agent': iphone, 'x-forwarded-for': '89.160.20.112' }
const page = 'https://shop.example/p?utm_source=mail&gclid=g1'

const device = {
  ...{ $browser: 'Mobile Safari', $browser_version: 17.4, $os: 'iOS', $os_version: '17.4.1' },
  $device_type: 'Mobile',
}
const sweden = {
  $geoip_country_name: 'Sweden',
  $geoip_country_code: 'SE',
}

type Value = Record<string, unknown> & { properties: Record<string, unknown> }

/** The records of Kafka that are of this test. */
async function readKafka(topic: 'events' | 'link_events', isOwn: (value: Value) => boolean) {
  const read = async () =>
    (await server.records(topic, 1)).map(({ value }) => JSON.parse(value) as Value).filter(isOwn)
  return await atLeast(1, read, topic)
}

const propertiesOf = async (condition: string) => {
  const sql = `SELECT properties FROM events WHERE ${condition}`
  return (await server.rows<{ properties: string }>(sql, 1)).map((row) =>
    JSON.parse(row.properties),
  )
}

test('a link event from a server gets its columns, in ClickHouse and in Kafka', async () => {
  const event = { event_type: 'click', event_id: 'e-on', project_id: 'on', link_original_url: page }
  const of = { user_agent: iphone, ip_address: '89.160.20.112', os: 'own' }
  await post(`${server.url}/api/events/track`, { ...event, ...of }, { 'user-agent': 'axios/1.7' })
  const columns = 'device_type, browser, os, country, city, utm_source, event_attributes, is_bot'
  const sql = `SELECT ${columns} FROM link_events WHERE event_id = 'e-on'`
  const wanted = {
    ...{ device_type: 'mobile', browser: 'Mobile Safari', os: 'own', country: 'SE', city: '' },
    utm_source: 'mail',
  }
  expect(await server.rows<object>(sql, 1)).toEqual([
    { ...wanted, event_attributes: '{"gclid":"g1"}', is_bot: false },
  ])
  const [record] = await readKafka('link_events', ({ event_id }) => event_id === 'e-on')
  expect(record).toMatchObject({ ...wanted, event_attributes: { gclid: 'g1' } })
  expect(record).not.toHaveProperty('is_bot')
})

test('previews of a link are marked', async () => {
  const event = { event_type: 'click', event_id: 'e-bot', project_id: 'on' }
  await post(`${server.url}/api/events/track`, { ...event, user_agent: 'WhatsApp/2.23.20.0' })
  const sql = `SELECT is_bot FROM link_events WHERE event_id = 'e-bot'`
  expect(await server.rows<object>(sql, 1)).toEqual([{ is_bot: true }])
  const [record] = await readKafka('link_events', ({ event_id }) => event_id === 'e-bot')
  expect(record).toMatchObject({ is_bot: true })
})

test('a capture event gets its properties, in ClickHouse and in Kafka', async () => {
  const properties = { $current_url: page, $os: 'own' }
  const event = { api_key: 'phc_on', event: 'enriched', distinct_id: 'u', properties }
  await post(`${server.url}/e`, event, visitor)
  const wanted = {
    ...properties,
    ...device,
    $os: 'own',
    ...sweden,
    utm_source: 'mail',
    gclid: 'g1',
  }
  expect(await propertiesOf(`event = 'enriched'`)).toEqual([wanted])
  const [record] = await readKafka('events', ({ event: name }) => name === 'enriched')
  expect(record?.properties).toEqual(wanted)
})

test('so do reports and telemetry', async () => {
  const headers = {
    ...visitor,
    ...{ 'x-api-key': 'sk_on', 'x-user-id': 'u', 'x-app-id': 'a', 'x-platform': 'ios' },
    'x-version': '1',
  }
  const reported = { name: 'reported', user: 'u', sessionId: 's', extra: { $os: 'own' } }
  await post(`${server.url}/users/report/events`, { events: [reported] }, headers)
  const telemetry = {
    ...{ id: 't1', type: 'page', name: 'seen', ts: Date.now(), app: 'app-on', release: '1' },
    ...{ sessionId: 's', props: { url: page } },
  }
  await post(`${server.url}/api/telemetry/events`, [telemetry], visitor)
  const [ofReport] = await propertiesOf(`event = 'reported'`)
  expect(ofReport).toMatchObject({ ...device, $os: 'own', ...sweden })
  const [ofTelemetry] = await propertiesOf(`event = 'seen'`)
  expect(ofTelemetry).toMatchObject({ ...device, ...sweden, utm_source: 'mail', gclid: 'g1' })
})

test('events of a large body are enriched on its thread, and counted', async () => {
  const before = await scrape(server.url, adminToken)
  const batch = Array.from({ length: 2000 }, (_, index) => ({
    ...{ event: 'large', distinct_id: `u${index}` },
    properties: {
      index,
      text: 'x'.repeat(100),
      $raw_user_agent: index % 2 ? 'Twitterbot/1.0' : iphone,
    },
  }))
  const body = gzipSync(JSON.stringify({ api_key: 'phc_on', batch }))
  const headers = { ...visitor, 'content-encoding': 'gzip' }
  const { status } = await post(`${server.url}/batch`, new Uint8Array(body), headers)
  expect(status).toBe(200)
  const count = (condition: string) =>
    `SELECT count() AS n FROM events WHERE event = 'large' AND ${condition} HAVING n = 1000`
  await server.rows(count(`JSONExtractString(properties, '$browser') = 'Mobile Safari'`), 1)
  await server.rows(count(`JSONExtractBool(properties, '$bot')`), 1)
  const all = `SELECT count() AS n FROM events WHERE event = 'large' AND JSONExtractString(properties, '$geoip_country_code') = 'SE'`
  expect(await server.query<object>(all)).toEqual([{ n: 2000 }])
  const after = await scrape(server.url, adminToken)
  const marked = { outcome: 'marked' }
  const more = (name: string, labels: Record<string, string>) =>
    after(name, labels) - before(name, labels)
  expect(more('spillway_enrich_bots_total', marked)).toBe(1000)
  expect(more('spillway_enrich_lookups_total', { part: 'user_agent', result: 'hit' })).toBe(1998)
  expect(more('spillway_enrich_lookups_total', { part: 'user_agent', result: 'miss' })).toBe(2)
})

test('a project without enrichment gets the bytes that it got before there was any', async () => {
  const event = {
    event_type: 'click',
    event_id: 'e-off',
    project_id: 'off',
    link_original_url: page,
  }
  await post(`${server.url}/api/events/track`, { ...event, user_agent: 'Twitterbot/1.0' }, visitor)
  const properties = { $current_url: page, b: [1, { c: '"' }] }
  const uuid = '019a0000-0000-7000-8000-000000000001'
  await post(
    `${server.url}/e`,
    { api_key: 'phc_off', event: 'plain', uuid, distinct_id: 'u', properties },
    visitor,
  )
  const [link] = await readKafka('link_events', ({ event_id }) => event_id === 'e-off')
  const columns = Object.keys(linkColumns).filter((name) => name !== 'is_bot')
  expect(Object.keys(link!)).toEqual(columns)
  expect(link).toMatchObject({
    device_type: '',
    browser: '',
    os: '',
    country: '',
    city: '',
    utm_source: '',
  })
  const records = await server.records('events', 1)
  const { value } = records.find((record) => record.value.includes('"plain"'))!
  const { timestamp, received_at } = JSON.parse(value)
  expect(value).toBe(
    `{"uuid":"${uuid}","project":"off","source":"capture","event":"plain","distinct_id":"u","session_id":"","timestamp":"${timestamp}","received_at":"${received_at}","ip":"89.160.20.112","user_agent":"${iphone}","library":"","properties":${JSON.stringify(properties)},"user":"{}","historical":false}`.replace(
      '"user":"{}"',
      '"user":{}',
    ),
  )
})

test('robots are left out and counted with bots = "drop"; clients see no difference', async () => {
  const before = await scrape(server.url, adminToken)
  const robot = {
    'user-agent': 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
  }
  const event = { api_key: 'phc_strict', distinct_id: 'u' }
  const captured = await post(`${server.url}/e`, { ...event, event: 'crawled' }, robot)
  expect(captured).toMatchObject({ status: 200, body: { status: 'ok' } })
  const click = { event_type: 'click', event_id: 'e-drop', project_id: 'strict' }
  const tracked = await post(`${server.url}/api/events/track`, click, robot)
  expect(tracked).toMatchObject({ status: 201, body: { success: true, event_id: 'e-drop' } })
  await post(`${server.url}/e`, { ...event, event: 'visited' }, visitor)
  expect(await propertiesOf(`project = 'strict'`)).toEqual([{}])
  expect(
    await server.query<object>(`SELECT 1 FROM link_events WHERE project_id = 'strict'`),
  ).toEqual([])
  const after = await scrape(server.url, adminToken)
  const more = (name: string, labels: Record<string, string>) =>
    after(name, labels) - before(name, labels)
  expect(more('spillway_enrich_bots_total', { outcome: 'dropped' })).toBe(2)
  expect(more('spillway_events_dropped_total', { contract: 'link' })).toBe(1)
  expect(more('spillway_events_accepted_total', { contract: 'capture' })).toBe(1)
})

test('a project that keeps no address gets the country, of small and of large bodies', async () => {
  const click = { event_type: 'click', event_id: 'e-private', project_id: 'private' }
  await post(`${server.url}/api/events/track`, click, visitor)
  const link = `SELECT ip_address, country, browser FROM link_events WHERE event_id = 'e-private'`
  expect(await server.rows<object>(link, 1)).toEqual([
    { ip_address: '', country: 'SE', browser: 'Mobile Safari' },
  ])
  const toEvents = (event: string, length: number) =>
    Array.from({ length }, () => ({ event, distinct_id: 'u', properties: { a: 'x'.repeat(100) } }))
  for (const [event, length] of [['few', 1] as const, ['very many', 2000] as const]) {
    const batch = toEvents(event, length)
    await post(`${server.url}/batch`, { api_key: 'phc_private', batch }, visitor)
    const sql = `SELECT ip, JSONExtractString(properties, '$geoip_country_code') AS country,
      JSONHas(properties, '$os') AS os, JSONHas(properties, '$os_version') AS version, count() AS n
      FROM events WHERE event = '${event}' GROUP BY ALL HAVING n = ${length}`
    expect(await server.rows<object>(sql, 1)).toEqual([
      { ip: '', country: 'SE', os: 1, version: 0, n: length },
    ])
  }
})

test('robots of a large body are left out, and the reply names no event wrongly', async () => {
  const before = await scrape(server.url, adminToken)
  const batch = Array.from({ length: 3000 }, (_, index) => ({
    ...{ event: 'many', distinct_id: `u${index}`, uuid: crypto.randomUUID() },
    timestamp: new Date().toISOString(),
    properties: { text: 'x'.repeat(100), $raw_user_agent: index % 3 ? iphone : 'Twitterbot/1.0' },
  }))
  const headers = { ...visitor, authorization: 'Bearer phc_strict' }
  const body = { created_at: new Date().toISOString(), batch }
  const answer = await post(`${server.url}/i/v1/analytics/events`, body, headers)
  expect(answer.status).toBe(200)
  const { results } = answer.body as { results: Record<string, { result: string }> }
  expect(Object.keys(results)).toHaveLength(3000)
  expect(Object.values(results).filter(({ result }) => result !== 'ok')).toEqual([])
  await server.rows(`SELECT count() AS n FROM events WHERE event = 'many' HAVING n = 2000`, 1)
  const after = await scrape(server.url, adminToken)
  const more = (name: string, labels: Record<string, string>) =>
    after(name, labels) - before(name, labels)
  expect(more('spillway_enrich_bots_total', { outcome: 'dropped' })).toBe(1000)
  expect(more('spillway_events_dropped_total', { contract: 'capture' })).toBe(1000)
  expect(more('spillway_events_received_total', { contract: 'capture' })).toBe(3000)
})

test('a retry from another device and place is the same event', async () => {
  const event = { api_key: 'phc_on', event: 'retried', distinct_id: 'u', uuid: crypto.randomUUID() }
  await post(`${server.url}/e`, event, visitor)
  await post(`${server.url}/e`, event, {
    'user-agent': 'curl/8',
    'x-forwarded-for': '2.125.160.216',
  })
  await post(`${server.url}/e`, { ...event, event: 'after', uuid: crypto.randomUUID() }, visitor)
  await propertiesOf(`event = 'after'`)
  expect(await propertiesOf(`event = 'retried'`)).toHaveLength(1)
})

test('GEOIP_FILE and the projects file are read again when they change', async () => {
  copyFileSync(join(fixtures, 'GeoIP2-City-Test.mmdb'), `${geoPath}.new`)
  renameSync(`${geoPath}.new`, geoPath)
  const text = readFileSync(projectsPath, 'utf8').replace(
    'tokens = ["phc_off"]',
    'tokens = ["phc_off"]\nenrich = ["geo"]',
  )
  writeFileSync(projectsPath, text)
  let sent = 0
  const hasCity = async () => {
    sent += 1
    const event = { event_type: 'click', event_id: `e-city-${sent}`, project_id: 'off' }
    await post(`${server.url}/api/events/track`, event, visitor)
    const sql = `SELECT city FROM link_events WHERE project_id = 'off' AND city = 'Linköping' LIMIT 1`
    return (await server.query(sql)).length > 0
  }
  await until(hasCity, { timeoutMs: 30_000, pauseMs: 200, what: 'the city' })
  const read = await scrape(server.url, adminToken)
  expect(read('spillway_geoip_built_timestamp_seconds')).toBeGreaterThan(1.5e9)
})

test('a start without GEOIP_FILE says what is missing, and the other parts work', async () => {
  await server.stop()
  await server.start({ GEOIP_FILE: '' })
  expect(server.log()).toContain('GEOIP_FILE is not set: events get no country and city')
  const event = { event_type: 'click', event_id: 'e-nofile', project_id: 'on' }
  await post(`${server.url}/api/events/track`, event, visitor)
  const sql = `SELECT browser, country FROM link_events WHERE event_id = 'e-nofile'`
  expect(await server.rows<object>(sql, 1)).toEqual([{ browser: 'Mobile Safari', country: '' }])
})

test('ENRICH is the choice of a server without a projects file', async () => {
  await server.stop()
  await server.start({ PROJECTS_FILE: '', ENRICH: 'user_agent, bots', ENRICH_BOTS: 'drop' })
  const send = (event: string, agent: string) =>
    post(
      `${server.url}/e`,
      { api_key: 'phc_any', event, distinct_id: 'u' },
      { 'user-agent': agent },
    )
  await send('of a robot', 'Twitterbot/1.0')
  await send('of a visitor', iphone)
  expect(await propertiesOf(`project = 'phc_any'`)).toEqual([device])
})
