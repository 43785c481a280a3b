import type { CatalogEntry } from './catalog.ts'
import type { SpareSegment } from './segment-file.ts'

/** The segment that is written, up to `position`. */
export type OpenSegment = SpareSegment & { position: number; entry: CatalogEntry }

export function extend(segment: OpenSegment, bytes: number): void {
  segment.position += bytes
  segment.entry.bytes = Math.max(segment.entry.bytes, segment.position)
}

/** Gives back the zeros behind the last frame. */
export async function cut({ file, position, entry }: OpenSegment): Promise<void> {
  await file.truncate(position)
  await file.sync()
  entry.bytes = position
}

export async function closeQuietly({ file }: OpenSegment): Promise<void> {
  await file.close().catch(() => {}) // What it holds is synced, or refused.
}
