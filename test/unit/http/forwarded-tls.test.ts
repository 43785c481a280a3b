import { expect, test } from 'bun:test'
import { createIsForwardedTls } from '../../../src/http/forwarded-tls.ts'

test.each([
  ['nobody is trusted', [], '203.0.113.9', 'https', false],
  ['the peer is not the trusted one', ['10.0.0.1'], '203.0.113.9', 'https', false],
  ['the peer is unknown', ['10.0.0.1'], '', 'https', false],
  ['the trusted proxy says https', ['10.0.0.0/8'], '10.0.0.5', 'https', true],
  ['it says so over an IPv6 socket', ['10.0.0.0/8'], '::ffff:10.0.0.5', 'https', true],
  ['it says http', ['10.0.0.0/8'], '10.0.0.5', 'http', false],
  ['it says nothing', ['10.0.0.0/8'], '10.0.0.5', undefined, false],
] as const)('where %s (%j, %s, %s): %p', (_, trusted, peer, proto, expected) => {
  const headers = proto === undefined ? {} : { 'x-forwarded-proto': proto }
  const request = new Request('http://localhost/', { headers })
  expect(createIsForwardedTls(trusted)(request, peer)).toBe(expected)
})
