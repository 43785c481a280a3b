import { settingsSchema } from '../../src/config/config.ts'

/**
 * docs/settings.md, from the schema of the settings. `bun test/support/settings-document.ts` prints it.
 * A new setting needs no change here: it belongs to the section of the setting before it in the schema.
 */
export function settingsDocument(): string {
  const rows = Object.entries(settingsSchema.properties).map(([name, field]) =>
    toRow(name, field as Field),
  )
  const parts = sections.map(({ first, heading, note }, index) => {
    const from = positionOf(first)
    const next = sections[index + 1]
    const until = next === undefined ? rows.length : positionOf(next.first)
    const table = [...tableHead, ...rows.slice(from, until)].join('\n')
    return [`## ${heading}`, ...(note ? [note] : []), table].join('\n\n')
  })
  return `${[introduction, ...parts].join('\n\n')}\n`
}

/** The headings, each with its first setting, in the order of the schema. */
const sections: readonly { first: string; heading: string; note?: string }[] = [
  { first: 'PORT', heading: 'Server' },
  {
    ...{ first: 'KEEP_ALIVE_SECONDS', heading: 'Connections and operators' },
    note: '[security.md](security.md#operators) says who is an operator.',
  },
  {
    ...{ first: 'DURABILITY', heading: 'Journal and memory' },
    note: '[sizing.md](sizing.md) says how much they take.',
  },
  { first: 'DEDUP_BYTES_MAX', heading: 'Duplicates and time' },
  {
    ...{ first: 'RATE_CAPTURE_PER_SECOND', heading: 'Rates and limits' },
    note: 'Rates and quotas of a single project are in the [projects file](projects.md).',
  },
  { first: 'PROJECTS_FILE', heading: 'Projects and browsers' },
  {
    ...{ first: 'ENRICH', heading: 'Enrichment' },
    note: '[enrichment.md](enrichment.md) says what is filled in from what.',
  },
  {
    ...{ first: 'SINKS', heading: 'Sinks' },
    note: '[operating.md](operating.md#sinks) says how to switch a sink off.',
  },
  {
    ...{ first: 'CLICKHOUSE_URL', heading: 'ClickHouse' },
    note: '[clickhouse.md](clickhouse.md) says how to query.',
  },
  {
    ...{ first: 'KAFKA_BROKERS', heading: 'Kafka' },
    note: '[kafka.md](kafka.md) describes topics and records.',
  },
  { first: 'REDIS_URL', heading: 'Redis' },
  {
    ...{ first: 'AUTH_KEYS_FILE', heading: 'Tokens, realtime and TLS' },
    note: '[realtime.md](realtime.md) has the first steps.',
  },
  {
    ...{ first: 'WORKERS', heading: 'Processes' },
    note: '[operating.md](operating.md#several-processes-several-nodes) says what several processes need.',
  },
]

const introduction = `# Settings

All settings are environment variables. This page is made by \`bun test/support/settings-document.ts\` from \`src/config/config.ts\`.

If a value is not valid, the server does not start, prints one line for each fault, and ends with exit code 78:

\`\`\`sh
PORT=abc bun run start
# PORT "abc" is not an integer in 0..65535
\`\`\`

- \`bun run start --check-config\` lists all faults and starts nothing ([operating.md](operating.md#check-the-configuration)).
- If a variable looks like a misspelt setting, the server logs a warning. An empty variable counts as unset.
- Sizes are in bytes, or have a unit: \`KiB\`, \`MiB\`, \`GiB\`, \`TiB\`. A list is separated by commas.
- A default of – means that the setting is unset. A range of – means that any text is taken, or that the meaning names the form.`

const tableHead = ['| setting | unit | default | range | meaning |', '|---|---|---|---|---|']

type Field = {
  description?: string
  default?: unknown
  type?: string
  minimum?: number
  maximum?: number
  enum?: readonly string[]
}

function positionOf(name: string): number {
  const position = Object.keys(settingsSchema.properties).indexOf(name)
  if (position < 0) throw new Error(`${name} is no setting; mend the sections of this file`)
  return position
}

function toRow(name: string, field: Field): string {
  const unit = toUnit(name, field)
  const meaning = (field.description ?? '').replace(new RegExp(`, (?:${unit})$`), '')
  const cells = [`\`${name}\``, unit, toDefault(field, unit), toRange(field, unit), meaning]
  return `| ${cells.join(' | ')} |`
}

/** The names of the settings carry their units. */
const units: readonly (readonly [name: RegExp, unit: string])[] = [
  [/_MS(?:_|$)/, 'ms'],
  [/_BYTES(?:_|$)/, 'bytes'],
  [/_SECONDS$/, 'seconds'],
  [/_DAYS$/, 'days'],
  [/_PER_SECOND$/, 'per second'],
  [/_PER_MINUTE$/, 'per minute'],
  [/(?:^|_)PORT$/, 'port'],
  [/_FILE$/, 'path of a file'],
  [/_DIR$/, 'path of a folder'],
]

function toUnit(name: string, { type, enum: options }: Field): string {
  const [, unit] = units.find(([pattern]) => pattern.test(name)) ?? []
  if (unit !== undefined) return unit
  if (options) return 'word'
  return { integer: 'number', boolean: 'flag', array: 'list' }[type ?? ''] ?? 'text'
}

function toDefault({ default: value }: Field, unit: string): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return '–'
  return `\`${toText(value, unit)}\``
}

function toRange({ type, minimum, maximum, enum: options }: Field, unit: string): string {
  if (options) return options.map((option) => `\`${option}\``).join(', ')
  if (type === 'boolean') return '`true`, `false`'
  return type === 'integer' ? `${toText(minimum, unit)}..${toText(maximum, unit)}` : '–'
}

const byteUnits = ['KiB', 'MiB', 'GiB', 'TiB']

/** Bytes with the largest unit that divides them, as a setting takes them. */
function toText(value: unknown, unit: string): string {
  if (unit !== 'bytes' || typeof value !== 'number') return `${value}`
  const power = byteUnits.findLastIndex((_, index) => value % 1024 ** (index + 1) === 0)
  return value === 0 || power < 0 ? `${value}` : `${value / 1024 ** (power + 1)}${byteUnits[power]}`
}

if (import.meta.main) console.log(settingsDocument().trimEnd())
