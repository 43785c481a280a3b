import { expect, test } from 'bun:test'
import { createClientIp, createIsForwardedTls } from '../../../src/http/client-ip.ts'

test.each([
  ['the peer if no proxy is trusted', [], '203.0.113.9', '1.2.3.4', '203.0.113.9'],
  [
    'the peer if it is not the trusted proxy',
    ['10.0.0.1'],
    '203.0.113.9',
    '1.2.3.4',
    '203.0.113.9',
  ],
  ['the last hop before a trusted proxy', ['10.0.0.0/8'], '10.0.0.5', '1.2.3.4', '1.2.3.4'],
  [
    'not a hop that the client wrote itself',
    ['10.0.0.0/8'],
    '10.0.0.5',
    '6.6.6.6, 1.2.3.4',
    '1.2.3.4',
  ],
  [
    'the hop before several trusted proxies',
    ['10.0.0.0/8'],
    '10.0.0.5',
    '6.6.6.6, 1.2.3.4, 10.9.9.9',
    '1.2.3.4',
  ],
  [
    'the proxy if the hop is not an address',
    ['10.0.0.0/8'],
    '10.0.0.5',
    '1.2.3.4, unknown',
    '10.0.0.5',
  ],
  ['the proxy if it sends no header', ['10.0.0.0/8'], '10.0.0.5', undefined, '10.0.0.5'],
  [
    'the hop before a trusted IPv4 proxy on an IPv6 socket',
    ['10.0.0.0/8'],
    '::ffff:10.0.0.5',
    '1.2.3.4',
    '1.2.3.4',
  ],
  ['a hop with a port', ['10.0.0.0/8'], '10.0.0.5', '198.51.100.7:51234', '198.51.100.7'],
  ['an IPv6 hop with a port', ['10.0.0.0/8'], '10.0.0.5', '[2a00::7]:51234', '2a00::7'],
  [
    'the hop before a trusted hop with a port',
    ['10.0.0.0/8'],
    '10.0.0.5',
    '6.6.6.6:1, 1.2.3.4:2, 10.9.9.9:3',
    '1.2.3.4',
  ],
  ['the proxy if the port is none', ['10.0.0.0/8'], '10.0.0.5', '1.2.3.4:x', '10.0.0.5'],
  ['the hop before a trusted IPv6 range', ['2001:db8::/32'], '2001:db8::1', '2a00::7', '2a00::7'],
])('the client is %s', (_, trusted, peer, forwarded, expected) => {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
  const request = new Request('http://localhost/', { headers })
  expect(createClientIp(trusted as string[])(request, peer as string)).toBe(expected as string)
})

test.each([
  ['no proxy is trusted', [], '203.0.113.9', 'https', false],
  ['the peer is not the trusted proxy', ['10.0.0.1'], '203.0.113.9', 'https', false],
  ['the peer is unknown', ['10.0.0.1'], '', 'https', false],
  ['a trusted proxy sends https', ['10.0.0.0/8'], '10.0.0.5', 'https', true],
  ['it does so over an IPv6 socket', ['10.0.0.0/8'], '::ffff:10.0.0.5', 'https', true],
  ['it sends http', ['10.0.0.0/8'], '10.0.0.5', 'http', false],
  ['it sends no header', ['10.0.0.0/8'], '10.0.0.5', undefined, false],
] as const)(
  'whether TLS was forwarded if %s (%j, %s, %s): %p',
  (_, trusted, peer, proto, expected) => {
    const headers = proto === undefined ? {} : { 'x-forwarded-proto': proto }
    const request = new Request('http://localhost/', { headers })
    expect(createIsForwardedTls(trusted)(request, peer)).toBe(expected)
  },
)

test.each([
  ['HTTPS', undefined, true],
  [' https ', undefined, true],
  // One proxy received TLS, and the next one behind it did not.
  ['https, http', '198.51.100.7, 10.0.0.9', true],
  ['https,http', '198.51.100.7:51234,10.0.0.9:80', true],
  ['http, https', '198.51.100.7, 10.0.0.9', false],
  // The client wrote the first entries itself.
  ['https, http', '6.6.6.6, 198.51.100.7', false],
  ['https, http, http', '6.6.6.6, 198.51.100.7, 10.0.0.9', false],
  // The second proxy passes the header on as it is.
  ['https', '198.51.100.7, 10.0.0.9', true],
  ['', undefined, false],
])(
  'TLS was forwarded by X-Forwarded-Proto %j and X-Forwarded-For %j: %p',
  (proto, hops, expected) => {
    const headers = { 'x-forwarded-proto': proto, ...(hops ? { 'x-forwarded-for': hops } : {}) }
    const request = new Request('http://localhost/', { headers })
    expect(createIsForwardedTls(['10.0.0.0/8'])(request, '10.0.0.5')).toBe(expected)
  },
)
