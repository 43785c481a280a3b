import { expect, test } from 'bun:test'
import { createBootIngest } from '../../../src/app/boot-ingest.ts'
import { normaliseCapture } from '../../../src/contracts/capture/normalise.ts'
import { captureProtocol } from '../../../src/contracts/capture/protocol.ts'
import type { Incoming, Ingest } from '../../../src/ingest/pipeline.ts'

const contract = { ...captureProtocol, key: 'capture', normalise: normaliseCapture } as const
const bounds = { requestsMax: 2, bytesMax: 1000, msMax: 60_000 }
const open: Ingest = async (_, { id }) => ({ status: 200, body: id })

const toIncoming = (id: string, announcedBytes = 1): Incoming => ({
  id,
  method: 'POST',
  path: '/e',
  query: new URLSearchParams(),
  headers: new Headers(),
  clientIp: '',
  receivedMs: 0,
  announcedBytes,
  read: () => Promise.reject(new Error('a held body is not read')),
})

const statuses = async (replies: ReturnType<Ingest>[]) =>
  (await Promise.all(replies)).map(({ status }) => status)

test('holds requests until the pipeline is open', async () => {
  const boot = createBootIngest(bounds)
  const held = [boot.ingest(contract, toIncoming('a')), boot.ingest(contract, toIncoming('b'))]
  boot.open(open)
  expect(await Promise.all(held)).toEqual([
    { status: 200, body: 'a' },
    { status: 200, body: 'b' },
  ])
  expect(await boot.ingest(contract, toIncoming('c'))).toEqual({ status: 200, body: 'c' })
})

test('refuses requests beyond its number and bytes, and keeps those that it holds', async () => {
  const boot = createBootIngest(bounds)
  const first = boot.ingest(contract, toIncoming('a', 900))
  expect(await statuses([boot.ingest(contract, toIncoming('large', 101))])).toEqual([503])
  const second = boot.ingest(contract, toIncoming('b', 100))
  const third = boot.ingest(contract, toIncoming('third', 0))
  expect(await third).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  boot.open(open)
  expect(await statuses([first, second])).toEqual([200, 200])
})

test('refuses a request that it has held for too long, and holds others', async () => {
  const boot = createBootIngest({ ...bounds, requestsMax: 1, msMax: 5 })
  expect(await statuses([boot.ingest(contract, toIncoming('a'))])).toEqual([503])
  expect(await statuses([boot.ingest(contract, toIncoming('b'))])).toEqual([503])
})

test('refuses all held requests when the start fails', async () => {
  const boot = createBootIngest(bounds)
  const held = boot.ingest(contract, toIncoming('a'))
  boot.close()
  expect(await statuses([held])).toEqual([503])
})
