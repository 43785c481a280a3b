import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { toRecordingChunks } from '../../../../src/contracts/capture/recording-chunks.ts'

const whole = (snapshot_items: string) => ({ snapshot_items, chunk: 0, chunks: 1 })

describe('rows of at most 9 bytes', () => {
  test.each<[string, string[], ReturnType<typeof whole>[]]>([
    ['of nothing', [], [whole('[]')]],
    ['fill up, commas counted', ['1', '2', '33'], [whole('[1,2,33]')]],
    ['fill up to the last byte', ['1', '2', '333'], [whole('[1,2,333]')]],
    ['go on in the next', ['1', '2', '3333'], [whole('[1,2]'), whole('[3333]')]],
    [
      'hold one that just fits',
      ['1', '7777777', '2'],
      [whole('[1]'), whole('[7777777]'), whole('[2]')],
    ],
    ['count bytes', ['1', '"件"', '2'], [whole('[1,"件"]'), whole('[2]')]],
  ])('%s', (_, snapshots, expected) => {
    expect(toRecordingChunks(snapshots, 9)).toEqual(expected)
  })

  test('snapshots that fit no row become one list of chunks after the other rows', () => {
    expect(toRecordingChunks(['88888888', '1', '999999999'], 9)).toEqual([
      whole('[1]'),
      { snapshot_items: '"[888888"', chunk: 0, chunks: 3 },
      { snapshot_items: '"88,9999"', chunk: 1, chunks: 3 },
      { snapshot_items: '"99999]"', chunk: 2, chunks: 3 },
    ])
  })
})

test('chunks fit, end between characters, and join to the text of the array', () => {
  const text = fc.string({ unit: fc.constantFrom('🦊', '"', '\\', '\u0000', '件', 'x', '\ud800') })
  fc.assert(
    fc.property(fc.array(text), fc.integer({ min: 12, max: 40 }), (texts, bytesMax) => {
      const snapshots = texts.map((text) => JSON.stringify(text))
      const rows = toRecordingChunks(snapshots, bytesMax)
      const chunks = rows.filter(({ chunks }) => chunks > 1)
      const large = snapshots.filter((text) => Buffer.byteLength(text) > bytesMax - 2)
      const joined = chunks.map(({ snapshot_items }) => JSON.parse(snapshot_items)).join('')
      expect(joined).toBe(large.length > 0 ? `[${large.join(',')}]` : '')
      for (const { snapshot_items } of rows)
        expect(Buffer.byteLength(snapshot_items)).toBeLessThanOrEqual(bytesMax)
      for (const { snapshot_items } of chunks)
        expect(JSON.parse(snapshot_items).isWellFormed()).toBe(true)
    }),
    { numRuns: 1000 },
  )
})

test('terminates for a limit that no chunk fits', () => {
  expect(toRecordingChunks(['"🦊"'], -5).map(({ snapshot_items }) => snapshot_items)).toEqual(
    ['[', '"', '🦊', '"', ']'].map((text) => JSON.stringify(text)),
  )
})
