import type { JournalRecord } from '../../src/core/record.ts'

/** The whole line of a record that may hold it in pieces. */
export function toLine({ line }: Pick<JournalRecord, 'line'>): string {
  return typeof line === 'string' ? line : line.join('')
}
