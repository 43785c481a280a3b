import { expect, test } from 'bun:test'
import { toHeaderText } from '../../../../src/contracts/shared/headers.ts'

/** `Headers` of a request give each byte that arrived as one character. */
const received = (bytes: Uint8Array) =>
  new Headers({ 'x-user-id': Buffer.from(bytes).toString('latin1') })

test.each([
  ['ASCII', Buffer.from('alice'), 'alice'],
  ['UTF-8', Buffer.from('用户 é'), '用户 é'],
  ['Latin-1', Buffer.from('Zoë', 'latin1'), 'Zoë'],
  ['bytes that are not valid UTF-8', Buffer.from([0x61, 0xff, 0xc3]), 'aÿÃ'],
])('reads a header in %s', (_, bytes, expected) => {
  expect(toHeaderText(received(bytes), 'x-user-id')).toBe(expected)
})

test('is empty without the header', () => {
  expect(toHeaderText(new Headers(), 'x-user-id')).toBe('')
})
