export type Json = Record<string, unknown>

/**
 * Whether `value` is a JSON object: not an array, and not a number that is kept as `JSON.rawJSON`.
 */
export function isJsonObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawJSON(value)
}

/** PHP writes an empty object as `[]`. Any other value stays as it is. */
export function fromPhp(value: unknown): unknown {
  return Array.isArray(value) && value.length === 0 ? {} : value
}

/**
 * A JSON number as text, exactly as sent. Decoding keeps a number that a double cannot hold as
 * `JSON.rawJSON`. Undefined if `value` is not a number.
 */
export function toNumberText(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return isRawJSON(value) ? value.rawJSON : undefined
}

/** The nearest double. Undefined if `value` is not a number, or outside the range of doubles. */
export function toFiniteNumber(value: unknown): number | undefined {
  const number = isRawJSON(value) ? Number(value.rawJSON) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

const { isRawJSON } = JSON as unknown as {
  isRawJSON(value: unknown): value is { readonly rawJSON: string }
}
