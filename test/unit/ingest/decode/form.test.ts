import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseForm } from '../../../../src/ingest/decode/form.ts'

/** Parts of complete and incomplete escapes, and of fields. */
const pieces = ['%', '2', 'B', 'F', '3', 'D', '%2B', '%2F', '%3D', '%2b', '%25', '%C3%BC', '%ff']
const others = ['+', '=', '&', '&data=', 'data', 'A', 'ü', ' ', '\u0000', '&compression=', '😀']
const anyForm = fc.array(fc.constantFrom(...pieces, ...others), { maxLength: 12 })

test('reads a form as URLSearchParams does', () => {
  fc.assert(
    fc.property(anyForm, (parts) => {
      const text = `data=${parts.join('')}`
      const form = new URLSearchParams(text)
      const field = (name: string) => form.get(name) ?? undefined
      expect(parseForm(text)).toEqual({ data: field('data'), compression: field('compression') })
    }),
    { numRuns: 20_000 },
  )
})
