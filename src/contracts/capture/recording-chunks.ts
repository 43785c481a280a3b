import type { JsonText } from '../../core/event.ts'

/** The `snapshot_items` of one row; `chunk` counts from 0. */
export type Piece = { items: JsonText; chunk: number; chunks: number }

/**
 * Snapshots → as few pieces as keep each within `bytesMax` bytes of JSON: whole snapshots in
 * arrays, in their order. Those too large even alone are one more array, whose text is cut into
 * JSON strings: there is one such set of chunks to a request and session, so that nobody mixes two
 * up.
 */
export function toPieces(snapshots: readonly JsonText[], bytesMax: number): Piece[] {
  const pieces: Piece[] = []
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
      pieces.push(toWhole(packed))
      packed = []
      packedBytes = bracketsBytes
    }
    packed.push(snapshot)
    packedBytes += bytes
  }
  if (packed.length > 0 || snapshots.length === 0) pieces.push(toWhole(packed))
  return large.length > 0 ? [...pieces, ...toChunks(toArray(large), bytesMax)] : pieces
}

const bracketsBytes = '[]'.length

const toArray = (snapshots: readonly JsonText[]): JsonText => `[${snapshots.join(',')}]`

function toWhole(snapshots: readonly JsonText[]): Piece {
  return { items: toArray(snapshots), chunk: 0, chunks: 1 }
}

function toChunks(text: JsonText, bytesMax: number): Piece[] {
  const parts: JsonText[] = []
  for (let start = 0; start < text.length; ) {
    const end = toChunkEnd(text, start, bytesMax)
    parts.push(JSON.stringify(text.slice(start, end)))
    start = end
  }
  return parts.map((items, chunk) => ({ items, chunk, chunks: parts.length }))
}

/** Quoting doubles what is escaped, so the length is tried and corrected by how far it missed. */
function toChunkEnd(text: JsonText, start: number, bytesMax: number): number {
  let end = toCharacterEnd(text, start, Math.min(text.length, start + bytesMax))
  for (;;) {
    const bytes = Buffer.byteLength(JSON.stringify(text.slice(start, end)))
    const length = Math.floor(((end - start) * bytesMax) / bytes)
    const shorter = toCharacterEnd(text, start, start + length)
    // It fits, or is a single character: that is sent whatever it takes, or there would be no end.
    if (shorter >= end) return end
    end = shorter
  }
}

/** The last boundary of characters up to `end`, but past the first character. */
function toCharacterEnd(text: string, start: number, end: number): number {
  const isInPair = end < text.length && (text.codePointAt(end - 1) ?? 0) > 0xffff
  const boundary = isInPair ? end - 1 : end
  return boundary > start ? boundary : start + (text.codePointAt(start)! > 0xffff ? 2 : 1)
}
