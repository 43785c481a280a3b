import { expect, test } from 'bun:test'
import { createObservations } from '../../../src/console/observations.ts'
import type { CanonicalEvent } from '../../../src/core/event.ts'
import type { Claimed, ObservedRequest } from '../../../src/ingest/store.ts'

const mib = 1024 * 1024
const charsOfText = 100_000

/** A text of its own in memory, as JSON.parse makes one. */
const makeText = (at: number): string => JSON.parse(`"${at} ${'x'.repeat(charsOfText)}"`)

test('what is remembered of large texts is small', () => {
  const { observer, findUnstored } = createObservations()
  Bun.gc(true)
  const beforeBytes = process.memoryUsage().rss
  for (let at = 0; at < 6000; at += 1) {
    const text = makeText(at)
    const incoming = {
      ...{ id: `r-${at}`, method: 'POST', path: `/${text}`.slice(0, 3), clientIp: '127.0.0.1' },
      headers: new Headers({ 'x-request-id': `c-${at}` }),
      receivedMs: at * 10,
    } as unknown as ObservedRequest
    const duplicate = {
      ...{ kind: 'event', key: 'p:d', dedupKey: 'k' },
      row: { uuid: crypto.randomUUID(), project: 'p', event: 'e', distinct_id: text.slice(0, 200) },
    } as unknown as CanonicalEvent
    const raw = { event: text, distinct_id: text }
    const rejection = { index: 0, code: 'event_name_too_long', message: text.slice(0, 400), raw }
    const claimed = {
      incoming,
      normalised: { events: [duplicate], rejections: [rejection], dropped: 0 },
      quota: { kept: [duplicate], deadLetters: [] },
      claim: { isNew: () => false },
    } as unknown as Claimed
    observer.settled('capture', claimed, { newEvents: [], overQuota: [] })
  }
  Bun.gc(true)
  // 4000 events that each held a text would be 400 MB.
  expect((process.memoryUsage().rss - beforeBytes) / mib).toBeLessThan(120)
  const [last] = findUnstored(new Set(['r-5999']))
  expect(last).toMatchObject({ request_id: 'r-5999', client_id: 'c-5999' })
})
