import type { CommittedBlock, JournalRecord } from '../../../src/core/record.ts'
import { createBlock } from '../../../src/journal/block.ts'
import { makeEvent } from './clickhouse/fixtures.ts'

/** An event as ingest appends it to the journal. */
export function makeJournalRecord(
  offset: number,
  row: Record<string, unknown> = {},
): JournalRecord {
  const { kind, route, source, receivedMs, line, head } = makeEvent(offset, row)
  const text = new TextDecoder().decode(line).trimEnd()
  return { kind, route, source, receivedMs, line: text, ...head() }
}

/** A block of events as the journal commits it. */
export function encodeBlock(firstOffset: number, count: number): CommittedBlock {
  const block = createBlock()
  const offsets = Array.from({ length: count }, (_, index) => firstOffset + index)
  block.add(offsets.map((offset) => makeJournalRecord(offset)))
  return { firstOffset, count, bytes: block.copyPayload() }
}
