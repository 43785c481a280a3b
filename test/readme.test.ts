import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { settingsSchema } from '../src/config.ts'

const readme = readFileSync(join(import.meta.dir, '../README.md'), 'utf8')

type Field = {
  description?: string
  default?: unknown
  type?: string
  minimum?: number
  maximum?: number
  anyOf?: { const: string }[]
}

function toRow(name: string, field: Field): string {
  return `| \`${name}\` | ${toDefault(field.default)} | ${field.description}${toBound(field)} |`
}

function toDefault(value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return '–'
  return `\`${value}\``
}

function toBound({ anyOf, type, minimum, maximum }: Field): string {
  if (anyOf) return ` (${anyOf.map((option) => `\`${option.const}\``).join(', ')})`
  return type === 'integer' ? ` (${minimum}..${maximum})` : ''
}

test('the table of settings in the README is the schema itself', () => {
  const rows = Object.entries(settingsSchema.properties).map(([name, field]) =>
    toRow(name, field as Field),
  )
  const missing = rows.filter((row) => !readme.includes(row))
  expect(missing).toEqual([])
})
