import { describe, expect, test } from 'bun:test'
import { toExecutable } from '../../../../src/embedded/query-api/statement.ts'
import { toTokens } from '../../../../src/embedded/query-api/tokens.ts'

describe('toExecutable', () => {
  const edit = (sql: string) => toExecutable(sql, [...toTokens(sql)])

  test.each([
    'SELECT query_id FROM processes',
    "SELECT 'FROM system.processes'",
    'SELECT system.processes FROM t',
    'SELECT query_id FROM system.query_log',
  ])('leaves %s unchanged', (sql) => {
    expect(edit(sql)).toBe(sql)
  })

  test('replaces every use of system.processes', () => {
    const edited = edit('SELECT 1 FROM system.processes AS a JOIN system.processes ON 1')
    expect(edited.match(/\(SELECT \* REPLACE/g)).toHaveLength(2)
    expect(edited).toEndWith(' AS processes ON 1')
    expect(edited).toContain(') AS a JOIN')
  })
})
