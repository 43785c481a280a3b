import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readyQueries } from '../../../src/console/ready-queries.ts'

test('the queries of README.md are ready to run', () => {
  const readme = readFileSync(join(import.meta.dir, '../../../README.md'), 'utf8')
  const written = [...readme.matchAll(/^```sql\n([\s\S]*?)\n```$/gm)].map(([, sql]) => sql)
  expect(written.length).toBeGreaterThan(2)
  const ready = readyQueries.map(({ sql }) => sql)
  expect(written.filter((sql) => !ready.includes(sql ?? ''))).toEqual([])
})
