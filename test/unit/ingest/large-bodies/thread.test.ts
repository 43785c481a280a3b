import { afterEach, expect, test } from 'bun:test'
import type { IngestRequest } from '../../../../src/core/protocol.ts'
import { type BodyThread, createBodyThread } from '../../../../src/ingest/large-bodies/thread.ts'

const limits = { reportEventsMax: 1000, telemetryEventsMax: 1000 }
const request: IngestRequest = {
  method: 'POST',
  path: '/batch',
  query: new URLSearchParams('_=1700000000000'),
  headers: new Headers({ 'user-agent': 'test' }),
  clientIp: '203.0.113.7',
  receivedMs: 1_700_000_000_000,
}
const toBytes = (text: string) => new TextEncoder().encode(text)

/** Not `expect().rejects`: it blocks the messages of other threads. */
const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

let thread: BodyThread | undefined
afterEach(() => {
  thread?.close()
})

const context = {
  project: { id: 'shop', origins: undefined, rate: undefined, quotas: {} },
  dedupIdentity: 'uuid' as const,
  lineBytesMax: 1_000_000,
  skewMsMin: 5000,
}

test('gives the events of a body in slices, with their lines', async () => {
  thread = createBodyThread({ workMsMax: 20_000, limits })
  const batch = Array.from({ length: 2500 }, (_, n) => ({
    event: 'e',
    distinct_id: 'ü',
    uuid: crypto.randomUUID(),
    properties: { n },
  }))
  const bad = { event: 'bad', properties: { id: 1 } }
  const text = JSON.stringify({ api_key: 'phc_shop', batch: [...batch, bad] })
  const work = thread.open('capture', request, toBytes(text))
  expect((await work.unwrap()).decodedBytes).toBe(Buffer.byteLength(text))
  expect(await work.parse()).toEqual({ credential: 'phc_shop', received: 2501 })
  const slices = [await work.normalise(context), await work.next(), await work.next()]
  expect(slices.map(({ ends, isLast }) => [ends.length, isLast])).toEqual([
    [1000, false],
    [1000, false],
    [500, true],
  ])
  expect(slices.map(({ normalised }) => normalised.rejections.length)).toEqual([1, 0, 0])
  expect(slices[0]!.normalised.rejections[0]).toMatchObject({
    index: 2500,
    rawText: JSON.stringify(bad),
  })
  const lines = slices.flatMap(({ lines }) => new TextDecoder().decode(lines).trim().split('\n'))
  const uuids = slices.flatMap(({ normalised }) => normalised.events.map(({ row }) => row.uuid))
  expect(lines.map((line) => JSON.parse(line).uuid)).toEqual(batch.map(({ uuid }) => uuid))
  expect(uuids).toEqual(batch.map(({ uuid }) => uuid))
  const stored = { accepted: 2500, duplicates: 0, quotaLimited: [], overQuota: [] }
  const reply = await work.reply(stored)
  expect(JSON.parse(reply.body!)).toMatchObject({ code: 1, rejected: [{ index: 2500 }] })
  work.end()
})

test('rejects with the error of a step, and takes the next body', async () => {
  thread = createBodyThread({ workMsMax: 20_000, limits })
  const first = thread.open('capture', request, toBytes('{"batch":'))
  await first.unwrap()
  expect(await errorOf(first.parse())).toMatchObject({ code: 'invalid_json' })
  first.end()
  const second = thread.open('report', request, toBytes('  '))
  expect(await errorOf(second.unwrap())).toMatchObject({ code: 'empty_body' })
})

test('a crash of the thread rejects one body only', async () => {
  const script = new URL('./crashing-worker.ts', import.meta.url).href
  thread = createBodyThread({ workMsMax: 20_000, limits, script })
  const first = thread.open('capture', request, toBytes('crash'))
  expect(String(await errorOf(first.unwrap()))).toContain('the body thread ended')
  first.end()
  const second = thread.open('capture', request, toBytes('sound'))
  expect(await second.unwrap()).toEqual({ decodedBytes: 1, workBytes: 2 })
})

test('a body whose work takes too much CPU is refused, and the next one is taken', async () => {
  thread = createBodyThread({ workMsMax: 50, limits })
  const longs = `[${Array(200_000).fill('1234567890123456789').join(',')}]`
  const first = thread.open('capture', request, toBytes(longs))
  const work = first.unwrap().then(() => first.parse())
  expect(await errorOf(work)).toMatchObject({ code: 'body_too_slow', status: 413 })
  first.end()
  const second = thread.open('capture', request, toBytes('[]'))
  expect((await second.unwrap()).decodedBytes).toBe(2)
})
