import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { normaliseCapture } from '../../../../src/contracts/capture/normalise.ts'
import { captureProtocol } from '../../../../src/contracts/capture/protocol.ts'
import { normaliseRecording } from '../../../../src/contracts/capture/recording.ts'
import { toDeadLetter, toRecord } from '../../../../src/contracts/encode.ts'
import { IngestError } from '../../../../src/core/errors.ts'
import type { NormaliseContext } from '../../../../src/core/protocol.ts'
import type { JournalRecord } from '../../../../src/core/record.ts'
import { toLine } from '../../../support/line.ts'
import { project, receivedMs, toBody, toRequest } from './capture-request.ts'

const columns = {
  event: [
    ...['uuid', 'project', 'source', 'event', 'distinct_id', 'session_id', 'timestamp'],
    ...['received_at', 'ip', 'user_agent', 'library', 'properties', 'user', 'historical'],
  ],
  recording: [
    ...['uuid', 'project', 'session_id', 'distinct_id', 'window_id', 'snapshot_source'],
    ...['timestamp', 'received_at', 'ip', 'user_agent', 'library', 'chunk', 'chunks'],
    ...['ingest_warnings', 'snapshot_items'],
  ],
  dead_letter: [
    ...['uuid', 'project', 'protocol', 'stage', 'reason', 'detail', 'received_at', 'ip', 'raw'],
  ],
  link: [],
}

const lines = { event: 4 * 1024 * 1024, recording: 6000 }
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('"', '\\', '\u0000', '\n', '\ud800', '\udfff', 'u', 'd', '🦊', 'x'),
    fc.integer({ max: 0xffff }).map((code) => String.fromCharCode(code)),
  ),
})
/** Any JSON value, and values that JSON cannot contain. */
const anything = fc.anything({
  withNullPrototype: true,
  values: [fc.anything(), text],
  maxDepth: 3,
})
const time = fc.oneof(
  fc.date().map((date) => (Number.isNaN(date.getTime()) ? 'Invalid Date' : date.toISOString())),
  fc.double(),
  text,
  anything,
)
const eventLike = fc.record(
  {
    token: fc.constant('phc_project'),
    event: fc.oneof(
      fc.constantFrom('$snapshot', '$exception', '$performance_event'),
      text,
      anything,
    ),
    distinct_id: fc.oneof(text, anything),
    uuid: fc.oneof(fc.uuid(), anything),
    timestamp: time,
    offset: fc.oneof(fc.double(), anything),
    sent_at: time,
    ip: anything,
    $set: anything,
    $set_once: anything,
    properties: fc.oneof(
      fc.record(
        {
          distinct_id: anything,
          $session_id: fc.oneof(fc.constant('s-1'), anything),
          $snapshot_data: fc.oneof(fc.array(fc.oneof(text, anything)), anything),
          $window_id: anything,
          $lib: fc.oneof(text, anything),
          $ip: anything,
          $set: anything,
          $ignore_sent_at: anything,
          [`__proto__`]: anything,
        },
        { requiredKeys: [] },
      ),
      anything,
    ),
  },
  { requiredKeys: ['token'] },
)
const body = fc.oneof(
  { weight: 1, arbitrary: anything },
  { weight: 3, arbitrary: eventLike },
  { weight: 3, arbitrary: fc.array(fc.oneof(eventLike, anything)) },
  {
    weight: 3,
    arbitrary: fc.record({
      token: fc.oneof(fc.constant('phc_project'), anything),
      batch: fc.oneof(fc.array(fc.oneof(eventLike, anything)), anything),
      sent_at: time,
      historical_migration: anything,
    }),
  },
)
const request = fc.record({
  path: fc.constantFrom('/e', '/engage', '/s'),
  query: fc.constantFrom('', '_=1767268800000', 'sent_at=x', 'beacon=1'),
  headers: fc.constantFrom<Record<string, string>>(
    {},
    { Token: 'phc_project', 'User-Agent': '"x"' },
  ),
  dedupIdentity: fc.constantFrom('uuid' as const, 'contract' as const),
})

function run(value: unknown, from: typeof request extends fc.Arbitrary<infer R> ? R : never) {
  const incoming = toRequest(from)
  const isRecording = from.path === '/s'
  const context: NormaliseContext = {
    project,
    dedupIdentity: from.dedupIdentity,
    lineBytesMax: isRecording ? lines.recording : lines.event,
    skewMsMin: 5000,
  }
  try {
    const submission = captureProtocol.parse(incoming, toBody(value))
    const normalise = isRecording ? normaliseRecording : normaliseCapture
    const { events, rejections, dropped } = normalise(incoming, submission, context)
    if (!isRecording) expect(events.length + rejections.length + dropped).toBe(submission.received)
    const records = [
      ...events.map((event) => toRecord(event)),
      ...rejections.map((rejection) =>
        toDeadLetter({ rejection, project: 'p', protocol: 'capture', request: incoming }),
      ),
    ]
    const outcome = { events, rejections, duplicates: 0, quotaLimited: [], overQuota: [] }
    return { records, reply: captureProtocol.reply(incoming, submission, outcome) }
  } catch (error) {
    if (!(error instanceof IngestError)) throw error
    return { records: [], reply: captureProtocol.refuse(error, incoming) }
  }
}

function check(record: JournalRecord) {
  const { kind, uuid, dedupKey } = record
  const line = toLine(record)
  expect(line).not.toContain('\n')
  const row = JSON.parse(line)
  expect(Object.keys(row)).toEqual(columns[kind])
  expect(row.uuid).toBe(uuid)
  expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
  expect(dedupKey ?? 'f'.repeat(32)).toMatch(/^[0-9a-f]{32}$/)
  if (kind === 'dead_letter') return
  const timestampMs = Date.parse(row.timestamp)
  expect(timestampMs >= 0 && timestampMs <= receivedMs + 23 * 3_600_000).toBe(true)
  if (kind === 'recording') expect(Buffer.byteLength(line)).toBeLessThanOrEqual(lines.recording)
  else {
    expect(JSON.stringify(row).isWellFormed() && !/\\ud[89a-f]/.test(withoutPairs(line))).toBe(true)
    expect(typeof row.properties === 'object' && typeof row.user === 'object').toBe(true)
  }
}

/** Without escaped backslashes: an escaped backslash before `ud800` is plain text of the client. */
const withoutPairs = (line: string) => line.replaceAll('\\\\', '')

test('any value gets a reply of the contract, and every line is valid', () => {
  const kinds = new Set<string>()
  fc.assert(
    fc.property(body, request, (value, from) => {
      const { records, reply } = run(value, from)
      for (const record of records) {
        kinds.add(record.kind)
        check(record)
      }
      expect([200, 204, 400, 401, 413]).toContain(reply.status)
      if (reply.body !== null)
        expect(JSON.parse(reply.body).code).toBe(reply.status === 200 ? 1 : 0)
    }),
    { numRuns: 3000 },
  )
  expect([...kinds].sort()).toEqual(['dead_letter', 'event', 'recording'])
  expect(Object.keys(Object.prototype)).toEqual([])
}, 60_000)
