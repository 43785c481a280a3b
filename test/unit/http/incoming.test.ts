import { expect, test } from 'bun:test'
import { createIsSoundUrl, createRequestIds } from '../../../src/http/incoming.ts'

test.each([
  ['http://localhost:3000/e/', true],
  ['https://Events.Example.com/e', true],
  ['http://[2001:db8::1]:3000/e', true],
  ['http://a/e?x=/../', true],
  ['http://a/.well-known/jwks.json', true],
  ['http://a/array/a..b/config', true],
  ['http://a/%7B', true],
  ['http://a/x/..', false],
  ['http://a/x/./y', false],
  ['http://a/x/%2E%2e/y', false],
  ['http://a/x/..%2fy', false],
  ['http://a/x%2f../y', false],
  ['http://a:999999/e', false],
  ['http://a b/e', false],
  ['http://u@a/e', false],
  ['http:///e', false],
  ['/e', false],
])('whether %s is sound: %p', (url, expected) => {
  const isSound = createIsSoundUrl()
  expect(isSound(url)).toBe(expected)
  // The host of the last sound URL is remembered.
  expect(isSound('http://a/e')).toBe(true)
  expect(isSound(url)).toBe(expected)
})

test('ids of requests differ, in one process and between two', () => {
  const [first, second] = [createRequestIds(), createRequestIds()]
  expect(new Set([first(), first(), second(), second()]).size).toBe(4)
})
