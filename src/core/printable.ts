/**
 * A text of a stranger for a terminal: control characters could move the cursor or change what a
 * person sees, and so could marks of the direction of writing. They are shown as in JSON.
 */
export function toSafe(text: unknown): string {
  return String(text).replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** One line; a line end of a stranger is shown, too. */
export const toLine = (text: unknown) => toSafe(text).replaceAll('\n', '\\n')

/** JSON on one line. The escapes of `toSafe` are JSON as well. */
export const toJson = (document: unknown) => toSafe(JSON.stringify(document))
