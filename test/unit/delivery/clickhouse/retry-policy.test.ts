import { describe, expect, test } from 'bun:test'
import { ClickHouseFailure, type FailureKind } from '../../../../src/delivery/clickhouse/failure.ts'
import { type Case, judge } from '../../../../src/delivery/clickhouse/retry-policy.ts'

const failed = (kind: FailureKind, code?: number) => new ClickHouseFailure('x', { kind, code })
const scene = { rows: 10, failures: 1, hasWitness: false, isAlone: false }
const reply = failed('unknown', 49)
const silence = failed('unknown')

describe('rows whose insert failed', () => {
  test.each<[string, Partial<Case> & Pick<Case, 'failure'>, string]>([
    ['are split where a row is at fault', { failure: failed('data', 27) }, 'split'],
    ['one alone is buried for its own fault', { failure: failed('data', 27), rows: 1 }, 'bury'],
    ['are split where they are too much', { failure: failed('large', 241) }, 'split'],
    [
      'one that is too much is never buried',
      { failure: failed('large', 241), rows: 1, failures: 999, hasWitness: true, isAlone: true },
      'retry',
    ],
    [
      'wait for a server that is busy, however often it failed',
      { failure: failed('busy', 243), rows: 1, failures: 999, hasWitness: true, isAlone: true },
      'retry',
    ],
    ['are tried again after an unknown answer', { failure: reply, failures: 4 }, 'retry'],
    ['are suspected after five', { failure: reply, failures: 5 }, 'shave'],
    [
      'are split at once where others went in',
      { failure: reply, failures: 2, hasWitness: true },
      'split',
    ],
    [
      'one is buried where its neighbours went in',
      { failure: reply, rows: 1, failures: 12, hasWitness: true },
      'bury',
    ],
    [
      'one stands back while nobody bears witness',
      { failure: reply, rows: 1, failures: 50, isAlone: false },
      'last',
    ],
    [
      'one that is all there is, is buried at last',
      { failure: reply, rows: 1, failures: 100, isAlone: true },
      'bury',
    ],
    [
      'one whose connection breaks gets more chances',
      { failure: silence, rows: 1, failures: 19, hasWitness: true },
      'last',
    ],
    [
      'and is buried where its neighbours went in twenty times over',
      { failure: silence, rows: 1, failures: 20, hasWitness: true },
      'bury',
    ],
    [
      'one whose connection breaks is not buried without witness',
      { failure: silence, rows: 1, failures: 999, isAlone: true },
      'last',
    ],
  ])('%s', (_, given, verdict) => {
    expect(judge({ ...scene, ...given })).toBe(verdict as ReturnType<typeof judge>)
  })
})
