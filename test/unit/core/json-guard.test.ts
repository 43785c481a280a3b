import { describe, expect, test } from 'bun:test'
import { createJsonGuard, internsSlowly, NameSet } from '../../../src/core/json-guard.ts'
import { collidingNames, collidingTexts } from '../../support/collisions.ts'

const noCollection = () => {}

function honestBatch(events: number): string {
  const properties = () => ({
    $browser: 'Chrome',
    $current_url: `https://shop.example/${crypto.randomUUID()}`,
    $insert_id: crypto.randomUUID(),
    $lib: 'web',
    $screen_width: Math.random(),
  })
  const batch = Array.from({ length: events }, () => ({
    event: '$pageview',
    properties: properties(),
  }))
  return JSON.stringify({ api_key: 'phc_test', batch })
}

describe('colliding texts', () => {
  test.each<[string, () => string]>([
    ['names', () => `{${collidingNames(3000)}}`],
    ['values', () => JSON.stringify(collidingTexts(3000))],
    ['names in objects of their own', () => `[{${collidingNames(3000).replaceAll(',', '},{')}}]`],
    ['names before spaces', () => `{${collidingNames(3000).replaceAll('":', '" \n:')}}`],
    ['a third of a batch', () => `[{${collidingNames(1500)}},${honestBatch(150)}]`],
  ])('are found: %s', (_, toText) => {
    const guard = createJsonGuard(noCollection)
    expect(guard.collides(toText())).toBe(true)
    expect([guard.hasCollision(), guard.takeCollision(), guard.takeCollision()]).toEqual([
      ...[true, true, false],
    ])
  })

  test.each([
    ['accuse their sender', 100, true],
    ['of too few names do not accuse their sender', 50, false],
  ])('in small bodies are collected when they have added up, and %s', (_, names, isAccused) => {
    let collections = 0
    const guard = createJsonGuard(() => {
      collections += 1
    })
    const kept: unknown[] = []
    let found = 0
    for (let sent = 0; sent < 600 && collections === 0; sent += 1) {
      kept.push(guard.parse(`{${collidingNames(names)}}`))
      if (guard.takeCollision()) found += 1
    }
    expect(found > 0).toBe(isAccused)
    expect(collections).toBe(1)
  })
})

describe('honest texts', () => {
  test('are no collisions, at any size', () => {
    const guard = createJsonGuard(noCollection)
    for (let events = 1; events < 600; events += 20) {
      const text = honestBatch(events)
      expect(guard.collides(text)).toBe(false)
      expect(guard.parse(text)).toEqual(JSON.parse(text))
    }
    const names = Array.from({ length: 900 }, (_, index) => `"property ${index}":${index}`)
    expect(
      guard.collides(
        `[${Array(10)
          .fill(`{${names.join(',')}}`)
          .join(',')}]`,
      ),
    ).toBe(false)
    expect(guard.takeCollision()).toBe(false)
  })

  test.each([
    ['nothing', ''],
    ['a quote', '"'],
    ['an escaped quote', '\\"'],
    ['brackets', '['.repeat(20_000)],
    ['open strings', '"a'.repeat(20_000)],
    ['backslashes', '\\'.repeat(20_000)],
  ])('that are no JSON are no collisions: %s', (_, text) => {
    expect(createJsonGuard(noCollection).collides(text)).toBe(false)
  })
})

test('few texts on a machine that was slow for a moment are no collisions', () => {
  const { now } = performance
  let clockMs = 0
  let calls = 0
  // Texts to compare with take 1 µs each, those of the body 50 µs.
  performance.now = () => {
    calls += 1
    clockMs += calls > 256 ? 0.05 : 0.001
    return clockMs
  }
  try {
    const text = JSON.stringify({
      event: '$snapshot',
      properties: { token: 't', distinct_id: 'u' },
    })
    expect(internsSlowly(text)).toBe(false)
    const batch = honestBatch(20)
    calls = 0
    expect(internsSlowly(batch)).toBe(true)
  } finally {
    performance.now = now
  }
})

test('counts different names, and no values', () => {
  const names = new NameSet()
  const text = '{"a":"b","c" :1,"a":{"d\\"e":[]}}'
  for (const name of ['a', 'b', 'c', 'd\\"e']) {
    const at = text.indexOf(`"${name}"`) + 1
    names.addIfName(text, at, at + name.length)
  }
  expect(names.size).toBe(3)
})
