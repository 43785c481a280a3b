import { describe, expect, test } from 'bun:test'
import { withClientIds } from '../../../../src/embedded/query-api/statement.ts'
import { toTokens } from '../../../../src/embedded/query-api/tokens.ts'

describe('ids of clients', () => {
  const edit = (sql: string) => withClientIds(sql, [...toTokens(sql)])

  test.each([
    'SELECT query_id FROM processes',
    "SELECT 'FROM system.processes'",
    'SELECT system.processes FROM t',
    'SELECT query_id FROM system.query_log',
  ])('change nothing in %s', (sql) => {
    expect(edit(sql)).toBe(sql)
  })

  test('stand in for the engine’s in every place', () => {
    const edited = edit('SELECT 1 FROM system.processes AS a JOIN system.processes ON 1')
    expect(edited.match(/\(SELECT \* REPLACE/g)).toHaveLength(2)
    expect(edited).toEndWith(' AS processes ON 1')
    expect(edited).toContain(') AS a JOIN')
  })
})
