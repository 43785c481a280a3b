import type { TracedEvent } from './data.ts'

const meanings: Record<string, string> = {
  time_unreadable: 'a time could not be read, so the time of receipt is stored',
  time_implausible: 'a time was before 1970 or far ahead, so the time of receipt is stored',
  text_cut: 'a text was longer than its column takes',
  uuid_replaced: 'the uuid was none, or of version 8, so the server derived one',
  field_dropped: 'a field is not of the contract, or not of its type',
  property_replaced: 'a property has a name that the server sets',
}

/** How one row differs from the event as sent. */
export function AlteredNote({ event }: { event: TracedEvent }) {
  const warnings = readWarnings(event.row?.columns ?? event.line ?? {})
  if (warnings.length === 0) return null
  return (
    <div class="note">
      <p>The row differs from the event as it was sent:</p>
      <ul>
        {warnings.map(({ kind, field, value }) => (
          <li key={`${kind} ${field}`}>
            <code>{field}</code> was <code>{value}</code>: {meanings[kind] ?? kind}
          </li>
        ))}
      </ul>
    </div>
  )
}

type Warning = { kind: string; field: string; value: string }

/** Rows of `events` have them as a property, rows of other tables as a column. */
function readWarnings({ properties, ingest_warnings: column }: Record<string, unknown>): Warning[] {
  const found = column ?? (readJson(properties) as Record<string, unknown>)?.$ingest_warnings
  const read = readJson(found)
  return Array.isArray(read) ? (read as Warning[]) : []
}

function readJson(value: unknown): unknown {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value)
  } catch {
    return undefined
  }
}
