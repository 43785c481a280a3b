import { expect, test } from 'bun:test'
import { toSnippets } from '../../../src/console/snippets.ts'

const snippets = toSnippets({ url: 'https://events.example.com', token: 'phc_shop' })

test('there is one for each contract, with the address of the server', () => {
  expect(new Set(snippets.map(({ contract }) => contract))).toEqual(
    new Set(['capture', 'link', 'report', 'telemetry']),
  )
  for (const { code } of snippets) expect(code).toContain('https://events.example.com')
})

test('those of capture have the token', () => {
  for (const { contract, code } of snippets)
    if (contract === 'capture') expect(code).toContain('phc_shop')
})
