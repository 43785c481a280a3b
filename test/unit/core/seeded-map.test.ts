import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { SeededMap } from '../../../src/core/seeded-map.ts'

const key = fc.constantFrom('', 'a', 'b', 'aa', 'ab', 'ba', '🦊', 'a'.repeat(100))
const step = fc.tuple(fc.constantFrom('set', 'add', 'delete', 'get'), key, fc.integer())

// Of one hashed character, or none, many keys share a hash.
test.each([0, 1, 12, Number.POSITIVE_INFINITY])('works as a Map, with %p hashed', (hashedMax) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const map = new Map<string, number>()
      const seeded = new SeededMap<number>(hashedMax)
      for (const [kind, name, value] of steps) {
        const before = map.get(name)
        if (kind === 'set') {
          map.set(name, value)
          seeded.set(name, value)
        } else if (kind === 'delete') {
          map.delete(name)
          seeded.delete(name)
        } else if (kind === 'add') {
          if (before === undefined) map.set(name, value)
          expect(seeded.add(name, value)).toBe(before)
        }
        expect(seeded.get(name)).toBe(map.get(name))
        expect(seeded.size).toBe(map.size)
      }
      expect(seeded.keys().sort()).toEqual([...map.keys()].sort())
      expect(seeded.values().sort()).toEqual([...map.values()].sort())
    }),
  )
})

test('lists in the order of insertion', () => {
  const map = new SeededMap<number>()
  for (let at = 0; at < 1000; at += 1) map.set(`key ${at}`, at)
  expect(map.values()).toEqual(Array.from({ length: 1000 }, (_, at) => at))
})
