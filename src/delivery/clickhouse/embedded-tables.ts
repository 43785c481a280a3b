import type { ClickHouse } from './client.ts'
import { tableOf } from './tables.ts'

/** What the embedded engine's tables need beside their schema. A server's are its operator's to tune. */
export async function tuneTables(engine: Pick<ClickHouse, 'query' | 'command'>): Promise<void> {
  const tables = await engine.query<{ name: string; engine_full: string }>(
    `SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()
AND name IN ('${Object.values(tableOf).join("','")}')`,
  )
  for (const { name, engine_full } of tables) {
    const wanting = settings.filter(([setting]) => !engine_full.includes(setting))
    if (wanting.length === 0) continue
    const changes = wanting.map(([setting, value]) => `${setting} = ${value}`)
    await engine.command(`ALTER TABLE ${name} MODIFY SETTING ${changes.join(', ')}`)
  }
}

const settings = [
  // Else a table does not load that has a broken part of a gigabyte, as a merge leaves them.
  ['max_suspicious_broken_parts', 1_000_000],
  ['max_suspicious_broken_parts_bytes', 1e15],
  // More parts a merge, so that a row is written anew less often: a third less CPU for merges under load.
  ['merge_selector_base', 16],
] as const
