import { join } from 'node:path'
import { type FileSystem, type OpenFile, openIfPresent, readAll } from './file-system.ts'
import { createScanner } from './scanner.ts'
import {
  type HeaderState,
  parseHeader,
  type SegmentHeader,
  segmentHeaderBytes,
} from './segment-header.ts'

const nameEnd = '.segment'
const numberDigits = 12

/** A used segment: it has a header, or frames from which the header was inferred. */
export type Segment = {
  number: number
  path: string
  bytes: number
  header: SegmentHeader
  /** `partial` and `inferred` are damage that loses nothing. */
  headerState: 'valid' | 'partial' | 'inferred'
}

/**
 * A file without a commit. `zeros`: a spare. `nothing`: zeros, shorter than a header. `garbage`: an
 * unfinished first write, or damage.
 */
export type UnusedSegment = {
  number: number
  path: string
  holds: 'zeros' | 'nothing' | 'garbage'
}

type Listing = { segments: Segment[]; unused: UnusedSegment[] }

export function toSegmentName(number: number): string {
  return String(number).padStart(numberDigits, '0') + nameEnd
}

/** The segments of a folder in order. `known` ones are not read again: a header never changes. */
export async function listSegments({
  fileSystem,
  dir,
  seed,
  known,
}: {
  fileSystem: FileSystem
  dir: string
  seed: number
  known?: ReadonlyMap<number, Segment>
}): Promise<Listing> {
  const listing: Listing = { segments: [], unused: [] }
  for (const number of toNumbers(await fileSystem.list(dir))) {
    const path = join(dir, toSegmentName(number))
    const segment = known?.get(number) ?? (await loadSegment({ fileSystem, path, number, seed }))
    if (!segment) continue
    if ('header' in segment) listing.segments.push(segment)
    else listing.unused.push(segment)
  }
  return listing
}

type Place = { fileSystem: FileSystem; path: string; number: number; seed: number }

/** Undefined if another thread unlinked it meanwhile. */
async function loadSegment(place: Place): Promise<Segment | UnusedSegment | undefined> {
  const file = await openIfPresent(place.fileSystem, place.path)
  if (!file) return undefined
  try {
    return await examine(file, place)
  } finally {
    await file.close()
  }
}

async function examine(
  file: OpenFile,
  { path, number, seed }: Place,
): Promise<Segment | UnusedSegment> {
  const found = await loadHeader(file)
  const bytes = await file.bytes()
  if (found.state === 'blank')
    return { number, path, holds: bytes < segmentHeaderBytes ? 'nothing' : 'zeros' }
  if ('header' in found)
    return { number, path, bytes, header: found.header, headerState: found.state }
  const header = await inferHeader(file, { segment: number, seed })
  if (header) return { number, path, bytes, header, headerState: 'inferred' }
  return { number, path, holds: 'garbage' }
}

async function loadHeader(file: OpenFile): Promise<HeaderState> {
  const bytes = Buffer.alloc(segmentHeaderBytes)
  return parseHeader(bytes.subarray(0, await readAll(file, bytes, 0)))
}

/** The first valid frame contains the sequence and offset that a damaged header had. */
async function inferHeader(
  file: OpenFile,
  origin: { segment: number; seed: number },
): Promise<SegmentHeader | undefined> {
  const scanner = createScanner({ file, origin, lastSequence: 0 })
  const isFound = await scanner.resync(Number.MAX_SAFE_INTEGER)
  const frame = isFound ? await scanner.peek() : undefined
  if (!frame) return undefined
  return {
    journalId: '',
    number: origin.segment,
    firstSequence: frame.sequence,
    firstOffset: frame.firstOffset,
    lastCommittedSequence: frame.sequence - 1,
    createdMs: 0,
  }
}

function toNumbers(names: readonly string[]): number[] {
  return names
    .filter((name) => name.endsWith(nameEnd) && /^\d+$/.test(name.slice(0, -nameEnd.length)))
    .map((name) => Number(name.slice(0, -nameEnd.length)))
    .sort((a, b) => a - b)
}
