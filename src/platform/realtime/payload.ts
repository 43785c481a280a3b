/**
 * About how many bytes a payload takes as JSON, attachments included; Infinity where it is larger than
 * `bytesMax` or nests deeper than `depthMax`, for neither must be passed on.
 */
export function weigh(payload: unknown, bytesMax: number, depthMax: number): number {
  let bytes = 0
  const add = (more: number) => {
    bytes += more
    return bytes <= bytesMax
  }
  return isWithin(payload, depthMax, add) ? bytes : Number.POSITIVE_INFINITY
}

type Add = (bytes: number) => boolean

function isWithin(value: unknown, depthLeft: number, add: Add): boolean {
  if (typeof value === 'string') return add(Buffer.byteLength(value) + 2)
  if (typeof value !== 'object' || value === null) return add(String(value).length)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return add(value.byteLength)
  if (depthLeft === 0) return false
  if (Array.isArray(value))
    return add(2) && value.every((entry) => add(1) && isWithin(entry, depthLeft - 1, add))
  return add(2) && areEntriesWithin(value as Record<string, unknown>, depthLeft - 1, add)
}

function areEntriesWithin(record: Record<string, unknown>, depthLeft: number, add: Add): boolean {
  for (const name in record) {
    if (!add(Buffer.byteLength(name) + 4) || !isWithin(record[name], depthLeft, add)) return false
  }
  return true
}
