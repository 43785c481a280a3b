import type { JsonText, LinkRow } from '../../core/event.ts'
import { createIsoTime } from '../shared/iso-time.ts'
import { escapeJson, toWellFormedJson } from '../shared/text.ts'

/** The canonical line of a link event: every column, in the order of the contract. */
export function toLinkLine(row: LinkRow): string {
  let line = ''
  for (const { name, before, empty, write } of writers) {
    const value = row[name]
    // Most columns are empty, and a line of few pieces is quicker to flatten.
    line += value === '' ? empty : before + write(value)
  }
  return `${line}}`
}

type Column = 'text' | 'json' | 'time' | 'value'

const columns = {
  uuid: 'text',
  received_at: 'time',
  event_id: 'text',
  event_type: 'text',
  event_time: 'time',
  event_attributes: 'json',
  link_id: 'text',
  link_slug: 'text',
  link_label: 'text',
  link_title: 'text',
  link_original_url: 'text',
  link_attributes: 'json',
  link_created_at: 'time',
  link_expires_at: 'time',
  link_tags: 'value',
  user_id: 'text',
  user_name: 'text',
  user_email: 'text',
  user_attributes: 'json',
  team_id: 'text',
  team_name: 'text',
  team_attributes: 'json',
  project_id: 'text',
  project_name: 'text',
  project_attributes: 'json',
  qr_code_id: 'text',
  qr_code_name: 'text',
  qr_code_attributes: 'json',
  visitor_id: 'text',
  session_id: 'text',
  ip_address: 'text',
  country: 'text',
  city: 'text',
  device_type: 'text',
  browser: 'text',
  os: 'text',
  user_agent: 'text',
  referrer: 'text',
  utm_source: 'text',
  utm_medium: 'text',
  utm_campaign: 'text',
  utm_term: 'text',
  utm_content: 'text',
  time_spent_sec: 'value',
  is_bounce: 'value',
  is_qr_scan: 'value',
  conversion_type: 'text',
  conversion_value: 'value',
} as const satisfies Record<keyof LinkRow, Column>

type Value = LinkRow[keyof LinkRow]

const toTime = createIsoTime()

/** Made once: a line has some fifty columns, most of them empty. */
const write: Record<Column, (value: Value) => JsonText> = {
  text: (value) => `"${escapeJson(value as string)}"`,
  json: (value) => toWellFormedJson(value as JsonText),
  time: (value) => (value === null ? 'null' : `"${toTime(value as number)}"`),
  value: (value) =>
    typeof value === 'object' ? toWellFormedJson(JSON.stringify(value)) : String(value),
}

const writers = (Object.keys(columns) as (keyof LinkRow)[]).map((name, index) => {
  const before = `${index === 0 ? '{' : ','}"${name}":`
  return { name, before, empty: `${before}""`, write: write[columns[name]] }
})
