import type { Log } from '../../../src/core/log.ts'
import type { JournalRecord, StoredRecord } from '../../../src/core/record.ts'
import { type Journal, openJournal } from '../../../src/journal/journal.ts'
import type { JournalOptions } from '../../../src/journal/parts.ts'
import type { FakeDisk } from './fake-disk.ts'

export const dir = '/data/journal'

export function toRecord(name: string, line = `{"name":"${name}"}`): JournalRecord {
  return {
    kind: 'event',
    route: 'main',
    source: 'capture',
    uuid: '0190a5f4-0000-7000-8000-000000000001',
    dedupKey: undefined,
    event: name,
    key: `project:${name}`,
    receivedMs: 1_700_000_000_000,
    line,
  }
}

export function toName(record: StoredRecord): string {
  return record.head().event
}

export async function openOn(
  disk: FakeDisk,
  options: Partial<JournalOptions> = {},
): Promise<Journal> {
  return openJournal({
    dir,
    segmentBytes: 4096,
    bytesMax: 1024 * 1024,
    durability: 'disk',
    now: () => 1_700_000_000_000,
    log: createRecordingLog(),
    onCommitted() {},
    retryMs: 1,
    fileSystem: disk.attach(),
    ...options,
  })
}

export async function namesIn(journal: Journal): Promise<string[]> {
  const names: string[] = []
  await journal.replay((record) => names.push(toName(record)))
  return names
}

export async function appendNames(journal: Journal, ...names: string[]): Promise<void> {
  await journal.append(names.map((name) => toRecord(name)))
}

/** Keeps log lines as `level: message`. */
export function createRecordingLog(): Log & { lines: string[] } {
  const lines: string[] = []
  const keep = (level: string) => (_: object, message: string) =>
    void lines.push(`${level}: ${message}`)
  return {
    lines,
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
  }
}
