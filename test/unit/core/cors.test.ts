import { expect, test } from 'bun:test'
import { toCorsHeaders, toOriginRule } from '../../../src/core/cors.ts'

const shop = 'https://shop.example'
const other = 'https://other.example'

test.each<[string, string[], boolean, string, string, boolean]>([
  ['any origin for events without a list', [], true, other, '/batch', true],
  ['any origin for tokens in development', [], false, other, '/api/auth/token', true],
  ['no origin for tokens in production without a list', [], true, other, '/api/auth/token', false],
  ['no origin for SDK settings in production', [], true, other, '/api/sdk/config', false],
  ['no origin for Socket.IO in production', [], true, other, '/socket.io/', false],
  ['a listed origin for tokens in production', [shop], true, shop, '/api/auth/token', true],
  ['a listed origin for events', [shop], false, shop, '/batch', true],
  ['no unlisted origin, events included', [shop], false, other, '/batch', false],
])('allows %s', (_, origins, isProduction, origin, path, expected) => {
  expect(toOriginRule(origins, isProduction)(origin, path)).toBe(expected)
})

const toRequest = (method: string, headers: Record<string, string>) =>
  new Request('http://localhost/socket.io/', { method, headers })

test('echoes an allowed origin, with credentials', () => {
  expect(toCorsHeaders(toRequest('GET', { origin: shop }), () => true)).toEqual({
    'access-control-allow-origin': shop,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': 'Retry-After',
    vary: 'Origin',
  })
})

test('writes no CORS header but `vary` for an origin that is not allowed', () => {
  expect(toCorsHeaders(toRequest('GET', { origin: other }), () => false)).toEqual({
    vary: 'Origin',
  })
})

test('writes nothing without an origin', () => {
  expect(toCorsHeaders(toRequest('GET', {}), () => true)).toEqual({})
})

test('allows a preflight the headers that it asks for', () => {
  const wanted = { origin: shop, 'access-control-request-headers': 'x-made-up' }
  expect(toCorsHeaders(toRequest('OPTIONS', wanted), () => true)).toMatchObject({
    'access-control-allow-methods': 'GET, POST, OPTIONS',
    'access-control-allow-headers': 'x-made-up',
    'access-control-max-age': '600',
  })
})
