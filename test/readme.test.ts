import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { settingsTable } from './support/settings-table.ts'

test('the table of settings in the README is the schema itself', () => {
  const readme = readFileSync(join(import.meta.dir, '../README.md'), 'utf8')
  const missing = settingsTable()
    .split('\n')
    .filter((row) => !readme.includes(row))
  expect(missing).toEqual([])
})
