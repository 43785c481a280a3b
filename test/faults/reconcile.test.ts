import { expect, test } from 'bun:test'
import type { KafkaRecord } from '../support/kafka-records.ts'
import { nothingWrongInKafka, reconcileKafka } from '../support/reconcile-kafka.ts'
import type { Ledger } from '../support/traffic.ts'

/** Three events of one client and key, the last two of one batch. */
const places = [
  { uuid: 'a', seed: 1, index: 0 },
  { uuid: 'b', seed: 2, index: 0 },
  { uuid: 'c', seed: 2, index: 1 },
]
const textOf = ({ seed, index }: { seed: number; index: number }) => JSON.stringify({ seed, index })
const ledger: Ledger = {
  sent: new Map(places.map((place) => [place.uuid, textOf(place)])),
  acknowledged: new Set(['a', 'b', 'c']),
  statuses: new Map(),
}

function toRecord(uuid: string, changed: Partial<KafkaRecord> = {}): KafkaRecord {
  const properties = places.find((place) => place.uuid === uuid) ?? { seed: 9, index: 0 }
  const row = { uuid, project: 'p', distinct_id: 'u', event: 'e' }
  const line = JSON.stringify({ ...row, properties: JSON.parse(textOf(properties)) })
  const headers = { uuid, event: 'e', source: 'capture' }
  return { partition: 0, offset: 0, key: 'p:u', headers, line, ...changed }
}

// The fault tests rely on these checks, so each check must find its fault.
test.each<[string, KafkaRecord[], object]>([
  ['all in order is well', ['a', 'b', 'c'].map((uuid) => toRecord(uuid)), {}],
  ['a later copy is well', ['a', 'b', 'c', 'a', 'b'].map((uuid) => toRecord(uuid)), {}],
  ['one that is missing is lost', ['a', 'c'].map((uuid) => toRecord(uuid)), { lost: ['b'] }],
  ['a batch overtaken', ['b', 'c', 'a'].map((uuid) => toRecord(uuid)), { disordered: ['a'] }],
  ['an event overtaken', ['a', 'c', 'b'].map((uuid) => toRecord(uuid)), { disordered: ['b'] }],
  [
    'a key in two partitions',
    [toRecord('a'), toRecord('b', { partition: 1 }), toRecord('c', { partition: 1 })],
    { disordered: ['b'] },
  ],
  [
    'an event that no client sent',
    ['a', 'b', 'c', 'x'].map((uuid) => toRecord(uuid)),
    { neverSent: ['x'] },
  ],
  [
    'a header of another event',
    [
      toRecord('a', { headers: { uuid: 'b', event: 'e', source: 'capture' } }),
      toRecord('b'),
      toRecord('c'),
    ],
    { altered: ['a'] },
  ],
])('in Kafka, %s', (_, records, findings) => {
  expect(reconcileKafka(ledger, records)).toEqual({ ...nothingWrongInKafka, ...findings })
})
