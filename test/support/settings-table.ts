import { settingsSchema } from '../../src/config/config.ts'

type Field = {
  description?: string
  default?: unknown
  type?: string
  minimum?: number
  maximum?: number
  enum?: string[]
}

/** The settings table of README.md, generated from the schema. `bun test/support/settings-table.ts` prints it. */
export function settingsTable(): string {
  const rows = Object.entries(settingsSchema.properties).map(([name, field]) =>
    toRow(name, field as Field),
  )
  return ['| setting | default | meaning |', '|---|---|---|', ...rows].join('\n')
}

function toRow(name: string, field: Field): string {
  return `| \`${name}\` | ${toDefault(field.default)} | ${field.description}${toBound(field)} |`
}

function toDefault(value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return '–'
  return `\`${value}\``
}

function toBound({ enum: options, type, minimum, maximum }: Field): string {
  if (options) return ` (${options.map((option) => `\`${option}\``).join(', ')})`
  return type === 'integer' ? ` (${minimum}..${maximum})` : ''
}

if (import.meta.main) console.log(settingsTable())
