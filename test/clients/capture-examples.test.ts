import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { type Spillway, startSpillway } from '../support/spillway.ts'
import { until } from '../support/until.ts'

/** Sends every example of the capture contract with curl, in every encoding of a body. */
let server: Spillway
beforeAll(async () => {
  server = await startSpillway()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

type Example = {
  name: string
  paths: string[]
  body: (distinctId: string) => unknown
  rows: number
  table: string
}

const event = (distinctId: string, name = '事件名称') => ({
  event: name,
  properties: {
    distinct_id: distinctId,
    token: '项目令牌-ascii'.replace(/[^\x20-\x7e]/g, 'x'),
    key1: 'value1',
    key2: 'value2',
  },
  timestamp: '2024-03-21T12:00:00Z',
})
const eventPaths = [
  '/e/',
  '/e',
  '/engage',
  '/track',
  '/i/v0/e/',
  '/i/v0/e',
  '/capture/',
  '/capture',
  '/batch',
  '/batch/',
]

const examples: Example[] = [
  {
    name: 'single event',
    paths: eventPaths,
    body: (id) => ({ ...event(id), uuid: crypto.randomUUID(), distinct_id: id, ip: '203.0.113.7' }),
    rows: 1,
    table: 'events',
  },
  {
    name: 'array of events',
    paths: eventPaths,
    body: (id) => [
      event(id, '事件名称1'),
      { ...event(id, '事件名称2'), timestamp: '2024-03-21T12:01:00Z' },
    ],
    rows: 2,
    table: 'events',
  },
  {
    name: 'batch',
    paths: eventPaths,
    body: (id) => ({
      token: 'phc_project',
      batch: [1, 2].map((n) => ({ event: `事件名称${n}`, properties: { distinct_id: id, n } })),
      historical_migration: false,
    }),
    rows: 2,
    table: 'events',
  },
  {
    name: 'recording',
    paths: ['/s/', '/s', '/capture/recording/', '/capture/recording'],
    body: (id) => ({
      event: '$snapshot',
      properties: {
        distinct_id: id,
        token: 'phc_project',
        $session_id: 'session-1',
        $snapshot_data: [],
      },
      timestamp: '2024-03-21T12:00:00Z',
    }),
    rows: 1,
    table: 'recordings',
  },
]

type Encoding = {
  name: string
  arguments: (url: string, json: string) => { url: string; options: string[]; input: Buffer }
}
const base64 = (json: string) => Buffer.from(json).toString('base64')
const form = (json: string) => `data=${encodeURIComponent(base64(json))}`
const typed = (type: string) => ['-H', `Content-Type: ${type}`, '--data-binary', '@-']

const encodings: Encoding[] = [
  {
    name: 'JSON',
    arguments: (url, json) => ({
      url,
      options: typed('application/json'),
      input: Buffer.from(json),
    }),
  },
  {
    name: 'text/plain',
    arguments: (url, json) => ({ url, options: typed('text/plain'), input: Buffer.from(json) }),
  },
  {
    name: 'form with base64',
    arguments: (url, json) => ({
      url,
      options: typed('application/x-www-form-urlencoded'),
      input: Buffer.from(form(json)),
    }),
  },
  {
    name: 'base64 body',
    arguments: (url, json) => ({
      url,
      options: typed('text/plain'),
      input: Buffer.from(base64(json)),
    }),
  },
  {
    name: 'gzip, declared',
    arguments: (url, json) => ({
      url,
      options: ['-H', 'Content-Encoding: gzip', ...typed('application/json')],
      input: gzipSync(json),
    }),
  },
  {
    name: 'gzip, unmarked',
    arguments: (url, json) => ({ url, options: typed('text/plain'), input: gzipSync(json) }),
  },
  {
    name: 'GET with ?data=',
    arguments: (url, json) => ({
      url: `${url}?data=${encodeURIComponent(base64(json))}`,
      options: [],
      input: Buffer.alloc(0),
    }),
  },
]

async function curl({ url, options, input }: ReturnType<Encoding['arguments']>): Promise<string> {
  const child = Bun.spawn(['curl', '-sS', '-w', ' %{http_code}', ...options, url], {
    stdin: input,
    stdout: 'pipe',
  })
  return await new Response(child.stdout).text()
}

describe.each(examples)('$name', ({ paths, body, rows, table }) => {
  test.each(encodings)(
    'as $name is accepted and stored',
    async (encoding) => {
      for (const path of paths) {
        const distinctId = crypto.randomUUID()
        const answer = await curl(
          encoding.arguments(server.url + path, JSON.stringify(body(distinctId))),
        )
        expect(answer).toBe('{"code":1,"status":"ok"} 200')
        const found = () =>
          server.query(`SELECT uuid FROM ${table} WHERE distinct_id = '${distinctId}'`)
        await until(async () => (await found()).length === rows, {
          what: `${rows} rows`,
        })
      }
    },
    60_000,
  )
})
