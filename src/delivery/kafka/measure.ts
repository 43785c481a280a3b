/**
 * Whether the value of a top-level field takes more than `bytesMax` bytes of a canonical line, whose
 * fields before it are all strings. Reads no further than it must, and parses nothing.
 */
export function isValueLarger(line: Buffer, field: string, bytesMax: number): boolean {
  if (line.length <= bytesMax) return false
  const needle = toNeedle(field)
  const found = line.indexOf(needle)
  if (found < 0) return false
  const start = found + needle.length
  if (line.length - start <= bytesMax) return false
  return !endsWithin(line, start, bytesMax)
}

/** Inside a string a quote is escaped, so these bytes are the field's name and nothing else. */
function toNeedle(field: string): Buffer {
  const known = needles.get(field)
  if (known) return known
  const needle = Buffer.from(`,"${field}":`)
  needles.set(field, needle)
  return needle
}

const needles = new Map<string, Buffer>()

const quote = 0x22
const backslash = 0x5c

/** Whether the JSON object, array or string that begins at `start` is over after `bytesMax` bytes. */
function endsWithin(line: Uint8Array, start: number, bytesMax: number): boolean {
  let depth = 0
  let isInString = false
  for (let at = start; at < start + bytesMax; at += 1) {
    const byte = line[at]!
    if (isInString) {
      if (byte === backslash) at += 1
      else if (byte === quote) isInString = false
    } else if (byte === quote) isInString = true
    else if (byte === 0x7b || byte === 0x5b) depth += 1
    else if (byte === 0x7d || byte === 0x5d) depth -= 1
    if (depth === 0 && !isInString) return true
  }
  return false
}
