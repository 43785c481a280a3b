import type { JournalRecord } from '../../src/core/record.ts'

/** The whole line of a record. The record may hold it as a list of strings. */
export function toLine({ line }: Pick<JournalRecord, 'line'>): string {
  return typeof line === 'string' ? line : line.join('')
}
