import { expect, test } from 'bun:test'
import { createClientIp } from '../../../src/http/client-ip.ts'

test.each([
  ['the peer, when nobody is trusted', [], '203.0.113.9', '1.2.3.4', '203.0.113.9'],
  [
    'the peer, when it is not the trusted one',
    ['10.0.0.1'],
    '203.0.113.9',
    '1.2.3.4',
    '203.0.113.9',
  ],
  ['the last hop before a trusted proxy', ['10.0.0.0/8'], '10.0.0.5', '1.2.3.4', '1.2.3.4'],
  [
    'not what the client itself put in front',
    ['10.0.0.0/8'],
    '10.0.0.5',
    '6.6.6.6, 1.2.3.4',
    '1.2.3.4',
  ],
  [
    'past several trusted proxies',
    ['10.0.0.0/8'],
    '10.0.0.5',
    '6.6.6.6, 1.2.3.4, 10.9.9.9',
    '1.2.3.4',
  ],
  [
    'the proxy, when the hop is garbage',
    ['10.0.0.0/8'],
    '10.0.0.5',
    '1.2.3.4, unknown',
    '10.0.0.5',
  ],
  ['the proxy, when it names nobody', ['10.0.0.0/8'], '10.0.0.5', undefined, '10.0.0.5'],
  ['IPv4 over an IPv6 socket', ['10.0.0.0/8'], '::ffff:10.0.0.5', '1.2.3.4', '1.2.3.4'],
  ['IPv6 ranges', ['2001:db8::/32'], '2001:db8::1', '2a00::7', '2a00::7'],
])('the client is %s', (_, trusted, peer, forwarded, expected) => {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
  const request = new Request('http://localhost/', { headers })
  expect(createClientIp(trusted as string[])(request, peer as string)).toBe(expected as string)
})
