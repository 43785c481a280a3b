import { expect, test } from 'bun:test'
import { smallMisses } from '../../../../src/ingest/enrich/enrich.ts'
import { createTestEnricher, toCaptureEvent, toLinkEvent } from './support.ts'

const lengths = [500, 65_536]
const hostile = (length: number): [string, string][] => [
  ['letters', 'a'.repeat(length)],
  ['spaces', ' '.repeat(length)],
  ['slashes', '/'.repeat(length)],
  ['parentheses', `Mozilla/5.0 ${'('.repeat(length)}`],
  ['control characters', '\u0000\u0001\n\u001b[31m'.repeat(length / 8)],
  ['emoji and lone surrogates', '😀\ud800'.repeat(length / 3)],
  ['versions', 'Chrome/1.'.repeat(length / 9)],
  ['systems', 'Mozilla/5.0 (Linux; Android '.repeat(length / 28)],
  ['devices', `Mozilla/5.0 (Linux; Android 9; ${'SM-'.repeat(length / 3)}) AppleWebKit Safari`],
  ['televisions', `HbbTV/1.1.1 (${' ;'.repeat(length / 2)})`],
  ['numbers', '1'.repeat(length)],
  ['query', `?utm_source=${'%E4'.repeat(length / 3)}`],
  ['parameters', `?utm_source=a${'&a'.repeat(length / 2)}`],
]

test.each(
  lengths.flatMap((length) => hostile(length).map(([name, text]) => [name, length, text] as const)),
)(
  'a text of %s with %i characters takes little time as User-Agent, address and page',
  (_, __, text) => {
    const { fill } = createTestEnricher(['user_agent', 'geo', 'bots', 'utm'])
    const run = () => {
      const properties = { $raw_user_agent: text, $current_url: text }
      fill(toCaptureEvent(properties, { ip: text, user_agent: text }))
      fill(toLinkEvent({ user_agent: text, ip_address: text, link_original_url: text }))
    }
    run()
    let least = Number.POSITIVE_INFINITY
    for (let round = 0; round < 5; round += 1) {
      const startMs = performance.now()
      run()
      least = Math.min(least, performance.now() - startMs)
    }
    expect(least).toBeLessThan(5)
  },
)

/** The dearest User-Agents known, as many as fit into a body that the serving thread works on. */
test.each(['Android ', 'droid ', 'Mozilla/5.0 (iPhone', 'Mozilla/5.0 (moto', 'spider '])(
  'a request of User-Agents that repeat %j does not hold the thread',
  (part) => {
    const { enrich, counts } = createTestEnricher(['user_agent', 'bots'], 'mark', smallMisses)
    let least = Number.POSITIVE_INFINITY
    for (let round = 0; round < 6; round += 1) {
      const events = Array.from({ length: 230 }, (_, index) => {
        const $raw_user_agent = `${part.repeat(100).slice(0, 490)}${round}-${index}`
        return toCaptureEvent({ $raw_user_agent })
      })
      const startMs = performance.now()
      enrich(events)
      least = Math.min(least, performance.now() - startMs)
    }
    expect(least).toBeLessThan(50)
    expect(counts.userAgent.misses).toBeGreaterThan(0)
  },
)

test('a request of events with different hostile texts does not hold the thread', () => {
  const texts = hostile(500).map(([, text]) => text)
  // More of them have no place in a body that the serving thread works on.
  const toEvents = (round: number) =>
    Array.from({ length: 250 }, (_, index) => {
      const text = `${round}-${index}-${texts[index % texts.length]}`
      const properties = { $raw_user_agent: text, $current_url: `?utm_source=${text}` }
      return toCaptureEvent(properties, { ip: `81.2.${round}.${index % 256}` })
    })
  const parts = ['user_agent', 'geo', 'bots', 'utm'] as const
  const { enrich, counts } = createTestEnricher(parts, 'mark', smallMisses)
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 6; round += 1) {
    const events = toEvents(round)
    const startMs = performance.now()
    enrich(events)
    least = Math.min(least, performance.now() - startMs)
  }
  expect(counts.userAgent.misses).toBeGreaterThan(0)
  expect(least).toBeLessThan(50)
})
