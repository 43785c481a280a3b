import { expect, test } from 'bun:test'
import { columnBytesMax } from '../../../../src/core/limits.ts'
import { createTestEnricher, toCaptureEvent, toLinkEvent } from './support.ts'

const page = 'https://shop.example/p'
const fillCapture = (properties: Record<string, unknown>) =>
  createTestEnricher(['utm']).fill(toCaptureEvent(properties))

test.each([
  ['?utm_source=mail&utm_medium=email', { utm_source: 'mail', utm_medium: 'email' }],
  ['?a=1&utm_campaign=sale#top', { utm_campaign: 'sale' }],
  ['?utm_term=red+shoes&utm_content=%E4%B8%AD', { utm_term: 'red shoes', utm_content: '中' }],
  [
    '?gclid=g1&fbclid=f1&msclkid=m1&ttclid=t1',
    { gclid: 'g1', fbclid: 'f1', msclkid: 'm1', ttclid: 't1' },
  ],
  ['?twclid=x&li_fat_id=l&wbraid=w&_kx=k', { wbraid: 'w', twclid: 'x', li_fat_id: 'l', _kx: 'k' }],
  ['?utm_source=first&utm_source=second', { utm_source: 'first' }],
  ['?utm_source=%ff%zz', { utm_source: '\ufffd%zz' }],
  ['?utm_source=', {}],
  ['?xutm_source=a&UTM_SOURCE=b', {}],
  ['#?utm_source=in-the-fragment', {}],
  ['?tab=overview&range=7d', {}],
  ['', {}],
])('reads %s', (query, campaign) => {
  const $current_url = page + query
  // posthog reads the fragment neither: the query of an address ends before it.
  const isFragment = query.startsWith('#')
  const filled = fillCapture({ $current_url })
  expect(filled).toEqual(
    isFragment ? { $current_url, utm_source: 'in-the-fragment' } : { $current_url, ...campaign },
  )
})

test.each([
  [
    'the page before its referrer',
    { $current_url: `${page}?utm_source=a`, $referrer: `${page}?utm_source=b&gclid=1` },
    { utm_source: 'a' },
  ],
  [
    'the referrer of a page without a campaign',
    { $current_url: page, $referrer: `${page}?utm_source=b` },
    { utm_source: 'b' },
  ],
  ['the url of telemetry', { url: `${page}?utm_source=c` }, { utm_source: 'c' }],
  ['the referrer of telemetry', { referrer: `${page}?gclid=2` }, { gclid: '2' }],
  ['nothing of a value that is no text', { $current_url: { toString: 'x' }, $referrer: 7 }, {}],
])('takes %s', (_, properties, campaign) => {
  expect(fillCapture(properties)).toEqual({ ...properties, ...campaign })
})

test('keeps what the client sent', () => {
  const sent = {
    $current_url: `${page}?utm_source=a&utm_medium=b&gclid=1`,
    utm_source: 'own',
    gclid: null,
  }
  expect(fillCapture(sent)).toEqual({ ...sent, utm_medium: 'b' })
})

test.each([
  ['an empty object', '{}', '{"gclid":"g","fbclid":"f"}'],
  ['an empty object with spaces', ' { } ', ' { "gclid":"g","fbclid":"f"}'],
  ['other attributes', '{"a":{"b":1}}', '{"a":{"b":1},"gclid":"g","fbclid":"f"}'],
  ['one of the ids', '{"gclid":"own"}', '{"gclid":"own","fbclid":"f"}'],
  ['an array, which stays', '[1]', '[1]'],
  ['a number, which stays', '7', '7'],
])(
  'a link event gets its columns, and click ids as attributes: %s',
  (_, event_attributes, wanted) => {
    const { fill } = createTestEnricher(['utm'])
    const link_original_url = `${page}?utm_source=mail&utm_campaign=c&gclid=g&fbclid=f`
    const row = fill(toLinkEvent({ link_original_url, utm_campaign: 'own', event_attributes }))
    expect(row).toMatchObject({ utm_source: 'mail', utm_campaign: 'own', utm_medium: '' })
    expect(row.event_attributes).toBe(wanted)
  },
)

test('attributes do not grow beyond the limit of their column', () => {
  const { fill } = createTestEnricher(['utm'])
  const event_attributes = JSON.stringify({ a: 'x'.repeat(columnBytesMax - 20) })
  const link_original_url = `${page}?gclid=${'g'.repeat(100)}`
  expect(fill(toLinkEvent({ link_original_url, event_attributes })).event_attributes).toBe(
    event_attributes,
  )
})

test('a link event falls back to its referrer', () => {
  const { fill } = createTestEnricher(['utm'])
  const referrer = 'https://news.example/?utm_source=news'
  expect(fill(toLinkEvent({ link_original_url: page, referrer })).utm_source).toBe('news')
})
