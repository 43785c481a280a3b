import type { JsonText, RecordingRow } from '../../core/event.ts'

/**
 * The columns of a row of `recordings` that hold its part of the snapshots. `chunk` counts from 0.
 */
export type RecordingChunk = Pick<RecordingRow, 'snapshot_items' | 'chunk' | 'chunks'>

/**
 * Splits snapshots into as few rows as keep each within `bytesMax` bytes of JSON: arrays of whole
 * snapshots, in their order. The snapshots that are too large even alone form one more array, whose
 * text is cut into numbered JSON strings. There is only one such set of chunks for a request and
 * session, so a reader cannot mix up two.
 */
export function toRecordingChunks(
  snapshots: readonly JsonText[],
  bytesMax: number,
): RecordingChunk[] {
  const rows: RecordingChunk[] = []
  const large: JsonText[] = []
  let packed: JsonText[] = []
  let packedBytes = bracketsBytes
  for (const snapshot of snapshots) {
    const bytes = Buffer.byteLength(snapshot)
    if (bytes + bracketsBytes > bytesMax) {
      large.push(snapshot)
      continue
    }
    const commas = packed.length
    if (packedBytes + bytes + commas > bytesMax) {
      rows.push(toWhole(packed))
      packed = []
      packedBytes = bracketsBytes
    }
    packed.push(snapshot)
    packedBytes += bytes
  }
  if (packed.length > 0 || snapshots.length === 0) rows.push(toWhole(packed))
  return large.length > 0 ? [...rows, ...cutIntoChunks(toArray(large), bytesMax)] : rows
}

const bracketsBytes = '[]'.length

const toArray = (snapshots: readonly JsonText[]): JsonText => `[${snapshots.join(',')}]`

function toWhole(snapshots: readonly JsonText[]): RecordingChunk {
  return { snapshot_items: toArray(snapshots), chunk: 0, chunks: 1 }
}

function cutIntoChunks(text: JsonText, bytesMax: number): RecordingChunk[] {
  const parts: JsonText[] = []
  for (let start = 0; start < text.length; ) {
    const end = toChunkEnd(text, start, bytesMax)
    parts.push(JSON.stringify(text.slice(start, end)))
    start = end
  }
  return parts.map((snapshot_items, chunk) => ({ snapshot_items, chunk, chunks: parts.length }))
}

/**
 * The length after escaping is not known in advance, so a length is tried and then corrected in
 * proportion.
 */
function toChunkEnd(text: JsonText, start: number, bytesMax: number): number {
  let end = toCharacterEnd(text, start, Math.min(text.length, start + bytesMax))
  for (;;) {
    const bytes = Buffer.byteLength(JSON.stringify(text.slice(start, end)))
    const length = Math.floor(((end - start) * bytesMax) / bytes)
    const shorter = toCharacterEnd(text, start, start + length)
    // The text fits, or is a single character. A single character is sent at any length, else this
    // never ends.
    if (shorter >= end) return end
    end = shorter
  }
}

/** The last character boundary up to `end`, but after at least one character. */
function toCharacterEnd(text: string, start: number, end: number): number {
  const isInPair = end < text.length && (text.codePointAt(end - 1) ?? 0) > 0xffff
  const boundary = isInPair ? end - 1 : end
  return boundary > start ? boundary : start + (text.codePointAt(start)! > 0xffff ? 2 : 1)
}
