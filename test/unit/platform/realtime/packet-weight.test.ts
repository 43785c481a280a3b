import { expect, test } from 'bun:test'
import { nestingMax } from '../../../../src/core/limits.ts'
import { isHeavy } from '../../../../src/platform/realtime/packet-weight.ts'

const many = (count: number, toPart: (at: number) => string) =>
  Array.from({ length: count }, (_, at) => toPart(at)).join(',')
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
const message = (payload: string) => `["publish",{"topic":"public:a","payload":${payload}}]`
const long = 'x'.repeat(70_000)

test.each<[string, boolean, string]>([
  ['30,000 different names', true, `{${many(30_000, (at) => `"name ${at}":1`)}}`],
  ['10,000 different names', false, `{${many(10_000, (at) => `"name ${at}":1`)}}`],
  [
    '20,000 objects with the same names',
    false,
    `[${many(20_000, (at) => `{"x":${at},"y":"${at}"}`)}]`,
  ],
  ['400,000 small numbers', false, `[${many(400_000, () => '1')}]`],
  ['900,000 small numbers', true, `[${many(900_000, () => '1')}]`],
  ['a text of a MiB', false, `"${'x'.repeat(2 ** 20)}"`],
  ['a text that looks like JSON', false, JSON.stringify(`[${'{"a":['.repeat(100_000)}`)],
  ['nesting that is allowed', false, `["${long}",${nested(nestingMax - 1)}]`],
  ['nesting that is too deep', true, `["${long}",${nested(nestingMax + 2)}]`],
  ['a short text that is too deep', false, nested(1000)],
  ['text that is not JSON', false, `"${long}`],
])('%s: %p', (_, expected, payload) => {
  expect(isHeavy(message(payload))).toBe(expected)
})
