import { expect, test } from 'bun:test'
import { BoundedKeyMap } from '../../../src/core/bounded-key-map.ts'

test('never forgets a key in use, with more keys than capacity', () => {
  const keys = new BoundedKeyMap(100)
  keys.set('in use', 0)
  for (let count = 1; count <= 10_000; count += 1) {
    keys.set(`once ${count}`, count)
    if (count % 20 !== 0) continue
    expect(keys.get('in use')).toBe(count - 20)
    keys.set('in use', count)
  }
  expect(keys.get('once 1')).toBeUndefined()
})

test('keeps the numbers of `keysMax` keys apart', () => {
  const keys = new BoundedKeyMap(100_000)
  const name = (index: number) => `phc_project:user-${index}`
  for (let index = 0; index < 100_000; index += 1) keys.set(name(index), index)
  let forgotten = 0
  for (let index = 0; index < 100_000; index += 1) {
    const number = keys.get(name(index))
    if (number === undefined) forgotten += 1
    else expect(number).toBe(index)
  }
  // Hashes fill the buckets unevenly.
  expect(forgotten).toBeLessThan(1000)
})

test('tells an unknown key from a number of zero', () => {
  const keys = new BoundedKeyMap(1)
  expect(keys.get('a')).toBeUndefined()
  keys.set('a', 0)
  expect([keys.get('a'), keys.get('b')]).toEqual([0, undefined])
})
