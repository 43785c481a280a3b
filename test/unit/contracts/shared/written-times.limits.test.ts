import { test } from 'bun:test'
import fc from 'fast-check'
import { parseTime } from '../../../../src/contracts/shared/time.ts'

test('reads any text of the alphabet of times within a millisecond', () => {
  const texts = fc.stringMatching(/^[-0-9TZ:.+ ,/()[\]a-dA-D]{0,100}$/)
  fc.assert(
    fc.property(texts, (text) => {
      const startMs = performance.now()
      for (let count = 0; count < 10; count += 1) parseTime(text)
      return performance.now() - startMs < 10
    }),
  )
})
