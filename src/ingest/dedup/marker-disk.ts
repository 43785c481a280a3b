import { mkdir, open, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type DedupKeyWords, type DedupTable, dedupKeyBytes } from './seen-table.ts'

const namePattern = /^(\d+)-(\d+)\.markers$/

/** The disk access of marker files, so that tests can inject faults. */
export const nodeMarkerDisk: MarkerDisk = {
  async list(folder) {
    await mkdir(folder, { recursive: true })
    const files: MarkerFile[] = []
    for (const name of await readdir(folder)) {
      const match = namePattern.exec(name)
      if (match === null) continue
      const { size } = await stat(join(folder, name))
      files.push({ name, hour: Number(match[1]), part: Number(match[2]), bytes: size })
    }
    return files.sort((x, y) => x.hour - y.hour || x.part - y.part)
  },
  async create(folder, name) {
    const file = await open(join(folder, name), 'w')
    try {
      // Without a sync of the folder, a power failure can lose a new file whose content was synced.
      const directory = await open(folder, 'r')
      await directory.sync().finally(() => directory.close())
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  },
  read: (folder, name) => open(join(folder, name), 'r'),
  remove: (folder, name) => unlink(join(folder, name)),
}

export type MarkerDisk = {
  /** Creates the folder if it is missing. Oldest file first. */
  list(folder: string): Promise<MarkerFile[]>
  create(folder: string, name: string): Promise<MarkerWriter>
  read(folder: string, name: string): Promise<MarkerReader>
  remove(folder: string, name: string): Promise<void>
}

/** A file of one hour since 1970; `part` numbers the files of the same hour. */
export type MarkerFile = { name: string; hour: number; part: number; bytes: number }

export type MarkerWriter = {
  write(bytes: Uint8Array): Promise<{ bytesWritten: number }>
  datasync(): Promise<void>
  close(): Promise<void>
}

type MarkerReader = {
  read(into: Uint8Array, at: number, length: number): Promise<{ bytesRead: number }>
  close(): Promise<void>
}

export const toFileName = (hour: number, part: number) => `${hour}-${part}.markers`

const blockDedupKeys = 16 * 1024
/** Enough for the memory accesses to overlap, few enough to stay in the cache. */
const prefetchedDedupKeys = 64

/**
 * Reads one marker file into the table and returns the number of keys. Takes 130 ns a key. The
 * event loop runs between blocks of 16,384 keys. Ignores an incomplete key at the end of the file.
 */
export async function loadMarkerFile(
  {
    disk,
    folder,
    table,
  }: { disk: MarkerDisk; folder: string; table: Pick<DedupTable, 'prefetch' | 'add'> },
  file: MarkerFile,
): Promise<number> {
  const reader = await disk.read(folder, file.name)
  const block = new Int32Array(blockDedupKeys * 3)
  const bytes = new Uint8Array(block.buffer)
  let dedupKeys = 0
  try {
    let heldBytes = 0
    for (;;) {
      const { bytesRead } = await reader.read(bytes, heldBytes, bytes.length - heldBytes)
      heldBytes += bytesRead
      const whole = Math.floor(heldBytes / dedupKeyBytes)
      addAll(table, block.subarray(0, whole * 3), file.hour)
      dedupKeys += whole
      bytes.copyWithin(0, whole * dedupKeyBytes, heldBytes)
      heldBytes -= whole * dedupKeyBytes
      if (bytesRead === 0) return dedupKeys
    }
  } finally {
    await reader.close()
  }
}

function addAll(
  table: Pick<DedupTable, 'prefetch' | 'add'>,
  block: Int32Array,
  hour: number,
): void {
  const words: DedupKeyWords = { a: 0, b: 0, c: 0 }
  for (let start = 0; start < block.length; start += prefetchedDedupKeys * 3) {
    const end = Math.min(start + prefetchedDedupKeys * 3, block.length)
    for (let at = start; at < end; at += 3) table.prefetch(toWords(block, at, words))
    for (let at = start; at < end; at += 3) table.add(toWords(block, at, words), hour)
  }
}

function toWords(block: Int32Array, at: number, into: DedupKeyWords): DedupKeyWords {
  into.a = block[at]!
  into.b = block[at + 1]!
  into.c = block[at + 2]!
  return into
}
