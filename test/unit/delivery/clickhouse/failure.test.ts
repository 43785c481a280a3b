import { describe, expect, test } from 'bun:test'
import { ClickHouseFailure, toFailure } from '../../../../src/delivery/clickhouse/failure.ts'

const server = (code: number, text: string, type = 'SOME_ERROR') =>
  new Error(`Code: ${code}. DB::Exception: ${text}. (${type}) (version 26.7.2.1).`)

describe('what a failed call says', () => {
  test.each([
    ['a row that cannot be read', server(376, 'Cannot parse UUID: (at row 3)'), 'data', 2],
    ['a row without a number', server(117, 'Incorrect data'), 'data', undefined],
    ['no memory for so much', server(241, 'Memory limit exceeded'), 'large', undefined],
    ['a full disk', server(243, 'Cannot reserve 1.00 MiB'), 'busy', undefined],
    ['a disk with room for less', server(243, 'Cannot reserve 1.01 MiB'), 'large', undefined],
    ['a disk with room for far less', server(243, 'Cannot reserve 1.00 GiB'), 'large', undefined],
    ['a full disk by another name', server(1001, 'No space left on device'), 'busy', undefined],
    ['a full disk while a row was read', server(27, 'errno: 28, (at row 1)'), 'busy', 0],
    ['too many parts', server(252, 'Too many parts'), 'busy', undefined],
    ['a wrong password', server(516, 'Authentication failed'), 'busy', undefined],
    ['a table that is gone', server(60, 'Table does not exist'), 'busy', undefined],
    ['a code that is not ours to know', server(49, 'Logical error'), 'unknown', undefined],
    ['a view of the operator', server(27, 'while pushing to view v (at row 1)'), 'unknown', 0],
    ['a cut connection', new Error('socket hang up'), 'unknown', undefined],
    ['something thrown that is no error', 'what', 'unknown', undefined],
  ] as const)('%s', (_, thrown, kind, row) => {
    const failure = toFailure(thrown)
    expect({ kind: failure.kind, row: failure.row }).toEqual({ kind, row })
  })

  test('is named by ClickHouse’s own word, or by what kind of silence it was', () => {
    expect(toFailure(server(376, 'x', 'CANNOT_PARSE_UUID')).reason).toBe('cannot_parse_uuid')
    expect(toFailure(new Error('Code: 4711. what')).reason).toBe('code_4711')
    expect(toFailure(new Error('Timeout error.')).reason).toBe('timeout')
    expect(toFailure(new Error('ECONNREFUSED')).reason).toBe('unreachable')
  })

  test('takes code and type from the client’s own error', () => {
    const error = Object.assign(new Error('Memory'), { code: '241', type: 'MEMORY_LIMIT_EXCEEDED' })
    expect(toFailure(error)).toMatchObject({ code: 241, reason: 'memory_limit_exceeded' })
  })

  test('does not take an errno for a code of ClickHouse', () => {
    const error = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
    expect(toFailure(error).code).toBeUndefined()
  })

  test('keeps a failure as it is, and cuts a message that quotes a whole row', () => {
    const failure = new ClickHouseFailure('x', { reason: 'unproven_reply' })
    expect(toFailure(failure)).toBe(failure)
    expect(toFailure(new Error('x'.repeat(1_000_000))).message.length).toBe(1000)
  })
})
