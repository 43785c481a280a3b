import { expect, test } from 'bun:test'
import { readyQueries } from '../../../src/console/ready-queries.ts'
import { blocksOf } from '../../support/documents.ts'

test('the queries of docs/clickhouse.md are ready to run', () => {
  const written = blocksOf('docs/clickhouse.md', 'sql').map((sql) => sql.trimEnd())
  expect(written.length).toBeGreaterThan(2)
  const ready = readyQueries.map(({ sql }) => sql)
  expect(written.filter((sql) => !ready.includes(sql))).toEqual([])
})
