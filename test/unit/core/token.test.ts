import { expect, test } from 'bun:test'
import { toToken } from '../../../src/core/token.ts'

test.each<[string, string, string | undefined]>([
  ['keeps a usual token', 'phc_Abc-123', 'phc_Abc-123'],
  ['keeps a dot and a space inside', 'my.token v2', 'my.token v2'],
  ['keeps quotes inside', `a"b'c`, `a"b'c`],
  ['keeps the longest token', 'x'.repeat(64), 'x'.repeat(64)],
  ['cuts off white space', ' \t\nphc_a\r\n ', 'phc_a'],
  ['cuts off quotes', `"phc_a"`, 'phc_a'],
  ['cuts off quotes and white space together', ` "' phc_a ' " `, 'phc_a'],
  ['measures what is left', ` "${'x'.repeat(64)}" `, 'x'.repeat(64)],
  ['refuses a longer token', 'x'.repeat(65), undefined],
  ['refuses an empty token', '', undefined],
  ['refuses quotes and white space only', ` ""' `, undefined],
  ['refuses a control character', 'a\u0000b', undefined],
  ['refuses a line end inside', 'a\nb', undefined],
  ['refuses DEL', 'a\u007f', undefined],
  ['refuses a letter beyond ASCII', 'clé', undefined],
  ['refuses a personal key', 'phx_secret', undefined],
  ['refuses a personal key in quotes', ` 'phx_secret'`, undefined],
])('%s', (_, written, expected) => {
  expect(toToken(written)).toBe(expected)
})

test('takes linear time for a long run of white space', () => {
  expect(toToken(`a${' '.repeat(20_000_000)}\u0000`)).toBeUndefined()
})
