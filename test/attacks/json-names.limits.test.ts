import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { collidingNames, collidingTexts } from '../support/collisions.ts'
import { type Spillway, startSpillway } from '../support/spillway.ts'

/** The attackers come by a proxy, so that their addresses differ from that of the honest sender. */
const forwarded = (attacker: number) => ({ 'x-forwarded-for': `203.0.113.${attacker}` })

let server: Spillway
beforeAll(async () => {
  server = await startSpillway({
    TRUSTED_PROXIES: '127.0.0.1',
    ADMIN_TOKEN: 'token-of-operators',
    ACCESS_LOG: 'false',
  })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

let attackers = 0
const nextAttacker = () => {
  attackers += 1
  return attackers
}

async function post(path: string, body: string | Uint8Array, attacker: number, more = {}) {
  const headers = { 'content-type': 'application/json', ...forwarded(attacker), ...more }
  const response = await fetch(`${server.url}${path}`, { method: 'POST', body, headers })
  return { status: response.status, text: await response.text() }
}

/** `properties` is the text of the members. */
const toEvent = (properties: string) =>
  `{"api_key":"phc_a","event":"e","distinct_id":"u","properties":{${properties}}}`
const toValues = (count: number) => `"values":${JSON.stringify(collidingTexts(count))}`
const reportHeaders = {
  'x-api-key': 'k',
  'x-user-id': 'u',
  'x-app-id': 'a',
  'x-platform': 'p',
  'x-version': '1',
}

/** Sends the attack three times, each from an address of its own, beside an honest sender. */
async function attack(path: string, toBody: () => string | Uint8Array, more = {}) {
  const bodies = [toBody(), toBody(), toBody()]
  const beside = await sendBeside(server)
  const replies = []
  for (const body of bodies) replies.push(await post(path, body, nextAttacker(), more))
  await expectUndisturbed(beside)
  return replies
}

describe('a body of colliding texts is refused before it costs time', () => {
  const names = () => collidingNames(9000)
  test.each<[string, string, () => string | Uint8Array, Record<string, string>]>([
    ['names, to capture', '/e', () => toEvent(names()), {}],
    ['values, to capture', '/e', () => toEvent(toValues(9000)), {}],
    ['names in gzip', '/e', () => gzipSync(toEvent(names())), {}],
    [
      'names in many objects',
      '/e',
      () => toEvent(`"all":[{${names().replaceAll(',', '},{')}}]`),
      {},
    ],
    ['names with escapes', '/e', () => toEscaped(toEvent(names())), {}],
    ['20,000 names', '/e', () => toEvent(collidingNames(20_000)), {}],
    ['40,000 values', '/e', () => toEvent(toValues(40_000)), {}],
    [
      'names, to /i/v1',
      '/i/v1/analytics/events',
      () => `{${names()}}`,
      {
        authorization: 'Bearer phc_a',
      },
    ],
    ['names, to link', '/api/events/track', () => `{"event_type":"c",${names()}}`, {}],
    ['names, to telemetry', '/api/telemetry/events', () => `[{${names()}}]`, {}],
    ['names, to report', '/users/report/events', () => `{"events":[{${names()}}]}`, reportHeaders],
  ])('%s', async (_, path, toBody, headers) => {
    for (const { status, text } of await attack(path, toBody, headers)) {
      expect(status).toBe(400)
      if (path === '/e') expect(JSON.parse(text).error).toBe('too_many_names')
    }
  })
})

const toEscaped = (json: string) =>
  json.replace(/[\u0080-\u00ff]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`)

describe('small bodies of colliding texts', () => {
  test.each<[string, () => string]>([
    ['names', () => toEvent(collidingNames(100))],
    ['values', () => toEvent(toValues(100))],
  ])('of %s do not add up: their sender is held back', async (_, toBody) => {
    const beside = await sendBeside(server)
    const attacker = nextAttacker()
    const statuses = new Set<number>()
    for (let sent = 0; sent < 500; sent += 1) {
      const { status } = await post('/e', toBody(), attacker)
      statuses.add(status)
    }
    await expectUndisturbed(beside)
    expect(statuses).toEqual(new Set([200, 429]))
  })

  test('from many addresses do not add up either', async () => {
    const beside = await sendBeside(server)
    for (let sent = 0; sent < 500; sent += 1) {
      await post('/e', toEvent(collidingNames(100)), 0, {
        'x-forwarded-for': `198.51.${sent % 256}.${Math.floor(sent / 256)}`,
      })
    }
    await expectUndisturbed(beside)
  })

  test('inside the JSON texts of link events do not add up', async () => {
    const beside = await sendBeside(server)
    const attacker = nextAttacker()
    const statuses = new Set<number>()
    for (let sent = 0; sent < 200; sent += 1) {
      const attributes = () => `{${collidingNames(60)}}`
      const event = {
        event_type: 'c',
        event_attributes: attributes(),
        link_attributes: attributes(),
      }
      statuses.add((await post('/api/events/track', JSON.stringify(event), attacker)).status)
    }
    await expectUndisturbed(beside)
    expect(statuses.has(429)).toBe(true)
  })
})

test('token requests of colliding names are refused, and their sender is held back', async () => {
  const toBody = () => `{"grant_type":"client_credentials",${collidingNames(400)}}`
  const beside = await sendBeside(server)
  const attacker = nextAttacker()
  const statuses = new Set<number>()
  for (let sent = 0; sent < 40; sent += 1) {
    statuses.add((await post('/api/auth/token', toBody(), attacker)).status)
    statuses.add((await post('/api/auth/refresh', toBody(), attacker)).status)
  }
  await expectUndisturbed(beside)
  expect(statuses).toEqual(new Set([400, 429]))
})

describe('packets of colliding texts before authentication', () => {
  const connect = (attacker: number) =>
    new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`, {
      headers: forwarded(attacker),
    } as unknown as string[])

  test.each<[string, () => string]>([
    ['names in auth', () => `40{${collidingNames(800)}}`],
    ['values in auth', () => `40{${toValues(800)}}`],
    ['names in an event', () => `42["publish",{${collidingNames(800)}}]`],
  ])('%s end the connection, and hold back its sender', async (_, toPacket) => {
    const beside = await sendBeside(server)
    const attacker = nextAttacker()
    let isHeld = false
    for (let attempt = 0; attempt < 20 && !isHeld; attempt += 1) {
      const socket = connect(attacker)
      const { promise, resolve } = Promise.withResolvers<void>()
      let isOpen = false
      socket.onopen = () => {
        isOpen = true
        socket.send(toPacket())
      }
      socket.onclose = () => resolve()
      socket.onerror = () => resolve()
      await promise
      isHeld = !isOpen
    }
    await expectUndisturbed(beside)
    expect(isHeld).toBe(true)
  })
})
