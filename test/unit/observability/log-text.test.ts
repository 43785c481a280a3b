import { expect, test } from 'bun:test'
import { toTextLines } from '../../../src/observability/log-text.ts'

const time = new Date(2026, 10, 29, 9, 5, 7, 42).getTime()
const toJson = (fields: object) => `${JSON.stringify({ level: 'info', time, ...fields })}\n`

test('shows time, level, message and fields on one line', () => {
  const line = toJson({
    level: 'warn',
    reason: 'port taken',
    port: 8123,
    path: '/d',
    msg: 'no queries',
  })
  expect(toTextLines(line)).toBe(
    '09:05:07.042 warn  no queries  reason="port taken" port=8123 path=/d\n',
  )
})

test('shows a message without fields', () => {
  expect(toTextLines(toJson({ msg: 'ready' }))).toBe('09:05:07.042 info  ready\n')
})

test('shows requests by method, path, status and time, several at once', () => {
  const request = { id: 'r1', method: 'POST', path: '/e/', status: 200, ms: 1.5, msg: 'request' }
  expect(toTextLines(toJson(request) + toJson({ ...request, status: 503 }))).toBe(
    '09:05:07.042 info  POST /e/ 200 1.5 ms  id=r1\n09:05:07.042 info  POST /e/ 503 1.5 ms  id=r1\n',
  )
})

test('escapes control characters, which could change what the terminal shows', () => {
  const path = '/\u001b[2J\u009b\u202e\n'
  const request = {
    method: 'GET',
    path,
    status: 404,
    ms: 1,
    clientId: '\u001b]0;x',
    msg: 'request',
  }
  const text = toTextLines(toJson(request))
  expect(text.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
  expect(text).toContain('/\\u001b[2J')
})
