import { describe, expect, test } from 'bun:test'
import { ClickHouseFailure, type FailureKind } from '../../../../src/delivery/clickhouse/failure.ts'
import {
  chooseRetry,
  type FailedInsert,
  type RetryStep,
} from '../../../../src/delivery/clickhouse/retry-policy.ts'

const failed = (kind: FailureKind, code?: number) => new ClickHouseFailure('x', { kind, code })
const situation = { rows: 10, failures: 1, hasStoredOthers: false, isOnlyRow: false }
const reply = failed('unknown', 49)
const noReply = failed('unknown')

describe('chooseRetry', () => {
  test.each<[string, Partial<FailedInsert> & Pick<FailedInsert, 'failure'>, RetryStep]>([
    ['splits rows if one is bad', { failure: failed('data', 27) }, 'split'],
    ['dead-letters a single bad row', { failure: failed('data', 27), rows: 1 }, 'dead-letter'],
    ['splits an insert that is too large', { failure: failed('large', 241) }, 'split'],
    [
      'retries a single row that is too large without end',
      {
        ...{ failure: failed('large', 241), rows: 1, failures: 999 },
        ...{ hasStoredOthers: true, isOnlyRow: true },
      },
      'retry',
    ],
    [
      'retries without end while the server is busy',
      {
        ...{ failure: failed('busy', 243), rows: 1, failures: 999 },
        ...{ hasStoredOthers: true, isOnlyRow: true },
      },
      'retry',
    ],
    ['retries after an unknown reply', { failure: reply, failures: 4 }, 'retry'],
    ['probes the first row after five failures', { failure: reply, failures: 5 }, 'probe-first'],
    [
      'splits after the second failure if other rows are stored',
      { failure: reply, failures: 2, hasStoredOthers: true },
      'split',
    ],
    [
      'dead-letters a row after twelve replies if its neighbours are stored',
      { failure: reply, rows: 1, failures: 12, hasStoredOthers: true },
      'dead-letter',
    ],
    [
      'retries a row last while no other row is stored',
      { failure: reply, rows: 1, failures: 50, isOnlyRow: false },
      'retry-last',
    ],
    [
      'dead-letters the only row of a batch after 100 replies',
      { failure: reply, rows: 1, failures: 100, isOnlyRow: true },
      'dead-letter',
    ],
    [
      'retries a row whose connection broke 19 times',
      { failure: noReply, rows: 1, failures: 19, hasStoredOthers: true },
      'retry-last',
    ],
    [
      'dead-letters a row whose connection broke 20 times if its neighbours are stored',
      { failure: noReply, rows: 1, failures: 20, hasStoredOthers: true },
      'dead-letter',
    ],
    [
      'retries the only row of a batch without end if its connection breaks',
      { failure: noReply, rows: 1, failures: 999, isOnlyRow: true },
      'retry-last',
    ],
  ])('%s', (_, given, step) => {
    expect(chooseRetry({ ...situation, ...given })).toBe(step)
  })
})
