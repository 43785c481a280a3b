import type { Forgotten, Person } from '../../core/sink.ts'
import type { ClickHouse } from './client.ts'
import { type TableName, tables, toDialect, toLiteral } from './tables.ts'

/**
 * Deletes the rows of a person. A table without such rows is not altered. Rejects with a
 * ClickHouseFailure; what is deleted by then stays deleted.
 */
export async function forgetPerson(
  { clickhouse, cluster }: { clickhouse: ClickHouse; cluster: string | undefined },
  person: Person,
  signal: AbortSignal,
): Promise<Forgotten> {
  const others = await findOthers(clickhouse, person, signal)
  const deleted: Record<string, number> = {}
  for (const { name } of tables) {
    const condition = toCondition(name, person)
    const sql = `SELECT count() AS rows FROM ${name} WHERE ${condition}`
    const [found] = await clickhouse.query<{ rows: string | number }>(sql, signal)
    const rows = Number(found?.rows ?? 0)
    deleted[name] = rows
    if (rows > 0) await deleteRows({ clickhouse, cluster }, name, condition)
  }
  return { deleted, others }
}

/** A mutation writes the parts anew without the rows. It takes as long as the parts are large. */
async function deleteRows(
  { clickhouse, cluster }: { clickhouse: ClickHouse; cluster: string | undefined },
  table: TableName,
  condition: string,
): Promise<void> {
  const { onCluster } = toDialect(cluster)
  const sql = `ALTER TABLE ${table}${onCluster} DELETE WHERE ${condition} SETTINGS mutations_sync = 2`
  await clickhouse.command(sql, undefined, `forget-${crypto.randomUUID()}`)
}

/** The rows that name the person. A rejected event is kept as text, which may name it anywhere. */
function toCondition(table: TableName, { project, distinctId }: Person): string {
  const [name, id] = [toLiteral(project), toLiteral(distinctId)]
  if (table === 'link_events')
    return `project_id = ${name} AND (visitor_id = ${id} OR user_id = ${id})`
  if (table === 'dead_letters')
    return `project = ${name} AND position(raw, ${toLiteral(JSON.stringify(distinctId))}) > 0`
  return `project = ${name} AND distinct_id = ${id}`
}

const othersMax = 100

/** The view may be missing: a migration that was refused leaves it out. */
async function findOthers(
  clickhouse: ClickHouse,
  { project, distinctId }: Person,
  signal: AbortSignal,
): Promise<string[]> {
  const [name, id] = [toLiteral(project), toLiteral(distinctId)]
  const persons = `SELECT person_id FROM person_distinct_ids WHERE project = ${name} AND distinct_id = ${id}`
  const sql = `SELECT DISTINCT id FROM (
  SELECT distinct_id AS id FROM person_distinct_ids
  WHERE project = ${name} AND (person_id IN (${persons}) OR person_id = ${id})
  UNION ALL ${persons.replace('person_id', 'person_id AS id')}
) WHERE id != ${id} ORDER BY id LIMIT ${othersMax}`
  try {
    return (await clickhouse.query<{ id: string }>(sql, signal)).map((row) => row.id)
  } catch {
    return []
  }
}
