import { describe, expect, test } from 'bun:test'
import { ClickHouseFailure, toFailure } from '../../../../src/delivery/clickhouse/failure.ts'

const server = (code: number, text: string, type = 'SOME_ERROR') =>
  new Error(`Code: ${code}. DB::Exception: ${text}. (${type}) (version 26.7.2.1).`)

describe('toFailure', () => {
  test.each([
    ['a row that cannot be parsed', server(376, 'Cannot parse UUID: (at row 3)'), 'data', 2],
    ['a row without a number', server(117, 'Incorrect data'), 'data', undefined],
    ['not enough memory for the insert', server(241, 'Memory limit exceeded'), 'large', undefined],
    ['a full disk', server(243, 'Cannot reserve 1.00 MiB'), 'busy', undefined],
    [
      'a disk with space for a smaller insert',
      server(243, 'Cannot reserve 1.01 MiB'),
      'large',
      undefined,
    ],
    [
      'a disk with space for a much smaller insert',
      server(243, 'Cannot reserve 1.00 GiB'),
      'large',
      undefined,
    ],
    ['a full disk with another code', server(1001, 'No space left on device'), 'busy', undefined],
    ['a full disk while a row is parsed', server(27, 'errno: 28, (at row 1)'), 'busy', 0],
    ['too many parts', server(252, 'Too many parts'), 'busy', undefined],
    ['a wrong password', server(516, 'Authentication failed'), 'busy', undefined],
    ['a missing table', server(60, 'Table does not exist'), 'busy', undefined],
    ['an unlisted code', server(49, 'Logical error'), 'unknown', undefined],
    [
      'a failure in a view of the operator',
      server(27, 'while pushing to view v (at row 1)'),
      'unknown',
      0,
    ],
    ['a broken connection', new Error('socket hang up'), 'unknown', undefined],
    ['a thrown value that is not an Error', 'what', 'unknown', undefined],
  ] as const)('classifies %s', (_, thrown, kind, row) => {
    const failure = toFailure(thrown)
    expect({ kind: failure.kind, row: failure.row }).toEqual({ kind, row })
  })

  test('takes the reason from ClickHouse’s error name, or from the kind of connection error', () => {
    expect(toFailure(server(376, 'x', 'CANNOT_PARSE_UUID')).reason).toBe('cannot_parse_uuid')
    expect(toFailure(new Error('Code: 4711. what')).reason).toBe('code_4711')
    expect(toFailure(new Error('Timeout error.')).reason).toBe('timeout')
    expect(toFailure(new Error('ECONNREFUSED')).reason).toBe('unreachable')
  })

  test('takes code and type from an error of the client library', () => {
    const error = Object.assign(new Error('Memory'), { code: '241', type: 'MEMORY_LIMIT_EXCEEDED' })
    expect(toFailure(error)).toMatchObject({ code: 241, reason: 'memory_limit_exceeded' })
  })

  test('does not treat an errno as a ClickHouse code', () => {
    const error = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
    expect(toFailure(error).code).toBeUndefined()
  })

  test('returns a failure unchanged, and truncates a message that quotes a row', () => {
    const failure = new ClickHouseFailure('x', { reason: 'unproven_reply' })
    expect(toFailure(failure)).toBe(failure)
    expect(toFailure(new Error('x'.repeat(1_000_000))).message.length).toBe(1000)
  })
})
