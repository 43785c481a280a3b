import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import type { StoredRecord } from '../../core/record.ts'
import { readSegment, toSegment } from '../../journal/segment-copy.ts'
import { toObjectName } from './object-name.ts'

/** Records of one journal and one day as an object: a compressed segment of the journal's own format. */
export async function toObject(journalId: string, records: readonly StoredRecord[]) {
  const segment = toSegment(journalId, records)
  const hash = Bun.hash.xxHash64(segment).toString(16).padStart(16, '0')
  const times = records.map(({ receivedMs }) => Math.trunc(receivedMs))
  const held = {
    fromMs: times.reduce((a, b) => Math.min(a, b)),
    toMs: times.reduce((a, b) => Math.max(a, b)),
    journalId,
    firstOffset: records[0]!.offset,
    lastOffset: records.at(-1)!.offset,
  }
  return { name: toObjectName(held, hash), bytes: await Bun.zstdCompress(segment) }
}

/** The archive writes objects of 32 MiB, and one more record. */
const segmentBytesMax = 256 * 1024 * 1024
const decompress = promisify(zstdDecompress)

export type ArchivedRecords = { journalId: string; records: StoredRecord[] }

/** Rejects if the bytes are not what `toObject` made. */
export async function readObject(bytes: Buffer): Promise<ArchivedRecords> {
  const segment = await decompress(bytes, { maxOutputLength: segmentBytesMax })
  const { journalId, frames } = readSegment(segment)
  const records: StoredRecord[] = []
  for await (const frame of frames) for (const record of frame) records.push(record)
  return { journalId, records }
}
