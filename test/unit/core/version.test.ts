import { expect, test } from 'bun:test'
import { isOlder } from '../../../src/core/version.ts'

test.each([
  ['24.3.9.1', '24.4', true],
  ['24.4.1.2', '24.4', false],
  ['24.10.1', '24.4', false],
  ['7', '6.2', false],
  ['6', '6.2', true],
])('%s is older than %s: %p', (version, oldest, expected) => {
  expect(isOlder(version, oldest)).toBe(expected)
})
