import { comments } from '../../src/delivery/clickhouse/comments.ts'
import { type Table, tables } from '../../src/delivery/clickhouse/tables.ts'
import { type View, views } from '../../src/delivery/clickhouse/views.ts'

/** docs/tables.md, from the comments of the tables. `bun test/support/tables-document.ts` prints it. */
export function tablesDocument(): string {
  return `${[introduction, ...tables.map(toSection), ...views.map(toViewSection)].join('\n\n')}\n`
}

const introduction = `# Tables

Every table, view and column of ClickHouse. The texts are the comments in the database: \`DESCRIBE events\` shows them, too. This page is
made by \`bun test/support/tables-document.ts\`. [clickhouse.md](clickhouse.md) says how to query, and
[queries.md](queries.md) has recipes.`

function toSection({ name, columns, aliases = {}, orderBy }: Table): string {
  const { table, columns: texts } = comments[name]
  const types = [
    ...Object.entries(columns).map(([column, [type]]) => [column, type] as const),
    ...Object.entries(aliases),
  ]
  const rows = types.map(([column, type]) => {
    return `| \`${column}\` | \`${type.replace(/ CODEC.*/, '')}\` | ${texts[column]} |`
  })
  const sorted = `Sorted by \`${orderBy}\`.`
  const head = ['| column | type | holds |', '|---|---|---|']
  return [`## ${name}`, `${table}.`, sorted, [...head, ...rows].join('\n')].join('\n\n')
}

function toViewSection({ name, comment, columns }: View): string {
  const rows = Object.entries(columns).map(
    ([column, [type, text]]) => `| \`${column}\` | \`${type}\` | ${text} |`,
  )
  const head = ['| column | type | holds |', '|---|---|---|']
  return [`## ${name}`, `A view. ${comment}.`, [...head, ...rows].join('\n')].join('\n\n')
}

if (import.meta.main) console.log(tablesDocument().trimEnd())
