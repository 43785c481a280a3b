import { expect, test } from 'bun:test'
import { SeededMap } from '../../../src/core/seeded-map.ts'
import { collidingTexts } from '../../support/collisions.ts'

test('20,000 texts that collide in the runtime take as long as others', () => {
  const count = 20_000
  function measureMs(texts: readonly string[]): number {
    const map = new SeededMap<number>()
    const startMs = performance.now()
    for (const text of texts) map.add(text, 1)
    for (const text of texts) map.get(text)
    expect(map.size).toBe(count)
    return performance.now() - startMs
  }
  const others = Array.from({ length: count }, (_, at) => `text number ${at}`)
  measureMs(others)
  // A Map takes a hundred times as long.
  expect(measureMs(collidingTexts(count))).toBeLessThan(10 * measureMs(others) + 10)
})
