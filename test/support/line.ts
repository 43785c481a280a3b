import { type JournalRecord, toLineText } from '../../src/core/record.ts'

/** The whole line of a record. */
export const toLine = ({ line }: Pick<JournalRecord, 'line'>): string => toLineText(line)
