import { expect, test } from 'bun:test'
import {
  createIsAdminPortUser,
  createIsConsoleUser,
  createIsOperator,
} from '../../../src/http/operators.ts'

const token = 'a-token-of-the-operators'
const local = { host: 'localhost:3000' }

test.each<[string, string[], string, Record<string, string>, boolean]>([
  ['this machine', [], '127.0.0.1', local, true],
  ['this machine over IPv6', [], '::1', { host: '[::1]:3000' }, true],
  ['this machine over an IPv4 address on an IPv6 socket', [], '::ffff:127.0.0.1', local, true],
  ['another machine', [], '203.0.113.9', local, false],
  ['an unknown peer', [], '', local, false],
  ['another machine with the token', [], '203.0.113.9', { authorization: `bearer ${token}` }, true],
  ['a wrong token', [], '203.0.113.9', { authorization: `Bearer ${token} x` }, false],
  ['a proxy on this machine', [], '127.0.0.1', { ...local, 'x-real-ip': '203.0.113.9' }, false],
  ['a trusted proxy on this machine', ['127.0.0.0/8'], '127.0.0.1', local, false],
  ['another trusted proxy', ['10.0.0.0/8'], '127.0.0.1', local, true],
  ['a page', [], '127.0.0.1', { ...local, origin: 'http://localhost:3000' }, false],
  ['a rebound name', [], '127.0.0.1', { host: '127.0.0.1.evil.example' }, false],
])('whether %s is an operator', (_, trustedProxies, peer, headers, expected) => {
  const isOperator = createIsOperator({ token, trustedProxies })
  expect(isOperator(new Request('http://localhost/', { headers }), peer)).toBe(expected)
})

test('without ADMIN_TOKEN no token makes an operator', () => {
  const isOperator = createIsOperator({ token: undefined, trustedProxies: [] })
  const headers = { authorization: 'Bearer undefined' }
  expect(isOperator(new Request('http://localhost/', { headers }), '203.0.113.9')).toBe(false)
})

test.each<[string, Record<string, string>, boolean]>([
  ['a program', {}, true],
  ['the page itself', { 'sec-fetch-site': 'same-origin', origin: 'http://localhost:3000' }, true],
  ['an address that a person typed', { 'sec-fetch-site': 'none' }, true],
  ['an image on a page of another site', { 'sec-fetch-site': 'cross-site' }, false],
  ['a frame on a page of another port', { 'sec-fetch-site': 'same-site' }, false],
])('whether %s may use the console', (_, sent, expected) => {
  const request = new Request('http://localhost/', { headers: { ...local, ...sent } })
  const isConsoleUser = createIsConsoleUser({
    ...{ token: undefined, trustedProxies: [], isProduction: false },
    hasPermission: () => false,
  })
  expect(isConsoleUser(request, '127.0.0.1')).toBe(expected)
  const isAdminPortUser = createIsAdminPortUser({ token: undefined, publicUrl: undefined })
  expect(isAdminPortUser(request, '203.0.113.9')).toBe(expected)
})
