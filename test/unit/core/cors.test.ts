import { expect, test } from 'bun:test'
import { findOriginFaults, toCorsHeaders, toOrigin, toOriginRule } from '../../../src/core/cors.ts'

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

test.each([
  ['https://shop.example', 'https://shop.example'],
  ['https://A.example', 'https://a.example'],
  [' https://a.example/ ', 'https://a.example'],
  ['https://a.example:443', 'https://a.example'],
  ['http://a.example:80/', 'http://a.example'],
  ['http://a.example:443', 'http://a.example:443'],
  ['http://localhost:5173', 'http://localhost:5173'],
  ['http://[::1]:8080', 'http://[::1]:8080'],
  ['https://bücher.example', 'https://xn--bcher-kva.example'],
  ['capacitor://localhost', 'capacitor://localhost'],
  ['ionic://localhost', 'ionic://localhost'],
  ['tauri://localhost/', 'tauri://localhost'],
  ['chrome-extension://ABCdef', 'chrome-extension://abcdef'],
  ['file://', 'file://'],
  ['null', 'null'],
  ['*', '*'],
  ['a.example', undefined],
  ['//a.example', undefined],
  ['localhost:3000', undefined],
  ['https://', undefined],
  ['https://a.example/x', undefined],
  ['https://a.example//', undefined],
  ['https://a.example?x', undefined],
  ['https://a.example#x', undefined],
  ['https://ada@a.example', undefined],
  ['https://*.example', undefined],
  ['*://a.example', undefined],
  ['https://a.example:99999', undefined],
  ['https://a b.example', undefined],
  ['https://a.example, https://b.example', undefined],
  ['', undefined],
])('the origin %j is %j', (written, expected) => {
  expect(toOrigin(written)).toBe(expected)
})

test('a list of origins may hold * alone only', () => {
  expect(findOriginFaults(['*'])).toEqual([])
  expect(findOriginFaults(['https://a.example', ' * '])).toHaveLength(1)
  expect(() => toOriginRule(['a.example', 'https://b.example/x'], false)).toThrow(
    /^CORS_ORIGINS "a.example" is not an origin .*\nCORS_ORIGINS "https:\/\/b.example\/x" is not/,
  )
})

test.each<[string, string[], string]>([
  ['any', ['*'], 'https://other.example'],
  ['one that is written otherwise', ['HTTPS://A.example:443/'], 'https://a.example'],
  ['one whose header is written otherwise', ['https://a.example'], 'HTTPS://A.EXAMPLE'],
  ['one of an app', ['capacitor://localhost'], 'capacitor://localhost'],
  ['a page without an origin', ['null'], 'null'],
])('a list allows %s, also for tokens in production', (_, origins, origin) => {
  expect(toOriginRule(origins, true)(origin, '/api/auth/token')).toBe(true)
  const isAny = origins.includes('*')
  expect(toOriginRule(origins, true)('https://evil.example', '/api/auth/token')).toBe(isAny)
})

const toRequest = (method: string, headers: Record<string, string>) =>
  new Request('http://localhost/socket.io/', { method, headers })

test('echoes an allowed origin, with credentials', () => {
  expect(toCorsHeaders(toRequest('GET', { origin: shop }), () => true)).toEqual({
    'access-control-allow-origin': shop,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': 'Retry-After, X-Request-Id',
    vary: 'Origin',
  })
})

test('writes no CORS header but `vary` for an origin that is not allowed', () => {
  expect(toCorsHeaders(toRequest('GET', { origin: other }), () => false)).toEqual({
    vary: 'Origin',
  })
})

test('writes only `vary` without an origin: a cache may keep the reply for a page', () => {
  expect(toCorsHeaders(toRequest('GET', {}), () => true)).toEqual({ vary: 'Origin' })
})

test('allows a preflight the headers that it asks for', () => {
  const wanted = { origin: shop, 'access-control-request-headers': 'x-made-up' }
  expect(toCorsHeaders(toRequest('OPTIONS', wanted), () => true)).toMatchObject({
    'access-control-allow-methods': 'GET, POST, OPTIONS',
    'access-control-allow-headers': 'x-made-up',
    'access-control-max-age': '600',
  })
})
