import { expect, test } from 'bun:test'
import { toKeptAddress } from '../../../../src/ingest/privacy/addresses.ts'

test.each([
  ['203.0.113.77', '203.0.113.0'],
  ['0.0.0.1', '0.0.0.0'],
  ['::ffff:203.0.113.77', '203.0.113.0'],
  ['::FFFF:cb00:714d', '203.0.113.0'],
  ['2001:db8:85a3:8d3:1319:8a2e:370:7348', '2001:db8:85a3::'],
  ['2001:0DB8:0000:0001::7', '2001:db8::'],
  ['fe80::1%eth0', 'fe80::'],
  ['::1', '::'],
  ['1::', '1::'],
  ['0:0:5:6:7:8:9:a', '0:0:5::'],
  [' 203.0.113.77 ', '203.0.113.0'],
  ['', ''],
  ['unknown', ''],
  ['203.0.113', ''],
  ['203.0.113.77, 10.0.0.1', ''],
  ['x'.repeat(200), ''],
])('%j is truncated to %j, dropped to nothing, and kept as it is', (address, truncated) => {
  expect(toKeptAddress(address, 'truncate')).toBe(truncated)
  expect(toKeptAddress(address, 'drop')).toBe('')
  expect(toKeptAddress(address, 'keep')).toBe(address)
})
