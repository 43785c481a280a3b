import type { JsonText } from '../core/event.ts'

/** The `snapshot_items` of one row; `chunk` counts from 0. */
export type Piece = { items: JsonText; chunk: number; chunks: number }

/**
 * Snapshots → as few pieces as keep each within `bytesMax` bytes of JSON. Whole snapshots are packed into arrays; one
 * that is too large alone becomes JSON strings, which in a row are the text of an array with that one snapshot.
 */
export function toPieces(snapshots: readonly JsonText[], bytesMax: number): Piece[] {
  const pieces: Piece[] = []
  let packed: JsonText[] = []
  let packedBytes = bracketsBytes
  const flush = () => {
    if (packed.length > 0) pieces.push({ items: `[${packed.join(',')}]`, chunk: 0, chunks: 1 })
    packed = []
    packedBytes = bracketsBytes
  }
  for (const snapshot of snapshots) {
    const bytes = Buffer.byteLength(snapshot)
    if (packedBytes + bytes + packed.length > bytesMax) flush()
    if (bytes + bracketsBytes > bytesMax) pieces.push(...toChunks(`[${snapshot}]`, bytesMax))
    else {
      packed.push(snapshot)
      packedBytes += bytes
    }
  }
  if (pieces.length === 0 && packed.length === 0) pieces.push({ items: '[]', chunk: 0, chunks: 1 })
  flush()
  return pieces
}

const bracketsBytes = '[]'.length

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
    // A single character is sent whatever it takes: to make no progress would be to never end.
    if (bytes <= bytesMax || shorter >= end) return end
    end = shorter
  }
}

/** The last boundary of characters up to `end`, but past the first character. */
function toCharacterEnd(text: string, start: number, end: number): number {
  const isInPair = end < text.length && (text.codePointAt(end - 1) ?? 0) > 0xffff
  const boundary = isInPair ? end - 1 : end
  return boundary > start ? boundary : start + (text.codePointAt(start)! > 0xffff ? 2 : 1)
}
