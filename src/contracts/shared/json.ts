/**
 * A JSON number as text, exactly as it was sent: decoding keeps those that a double cannot hold as
 * `JSON.rawJSON`. Undefined for what is no number.
 */
export function toNumberText(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return isRawJSON(value) ? value.rawJSON : undefined
}

/** The nearest double; undefined for what is no number or beyond all doubles. */
export function toFiniteNumber(value: unknown): number | undefined {
  const number = isRawJSON(value) ? Number(value.rawJSON) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

const { isRawJSON } = JSON as unknown as {
  isRawJSON(value: unknown): value is { readonly rawJSON: string }
}
