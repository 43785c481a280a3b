import { mkdir, open, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'

const namePattern = /^(\d+)-(\d+)\.markers$/

/** The folder of marker files, as far as it touches the disk. */
export const nodeMarkerDisk: MarkerDisk = {
  /** Makes the folder if need be. Oldest first. */
  async list(folder) {
    await mkdir(folder, { recursive: true })
    const kept: KeptFile[] = []
    for (const name of await readdir(folder)) {
      const match = namePattern.exec(name)
      if (match === null) continue
      const { size } = await stat(join(folder, name))
      kept.push({ name, hour: Number(match[1]), part: Number(match[2]), bytes: size })
    }
    return kept.sort((x, y) => x.hour - y.hour || x.part - y.part)
  },
  async create(folder, name) {
    const file = await open(join(folder, name), 'w')
    try {
      // A file whose name is not on disk is gone after a power cut, whatever was synced into it.
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
  list(folder: string): Promise<KeptFile[]>
  create(folder: string, name: string): Promise<MarkerWriter>
  read(folder: string, name: string): Promise<MarkerReader>
  remove(folder: string, name: string): Promise<void>
}

/** A file of one hour since 1970; `part` tells those of the same hour apart. */
export type KeptFile = { name: string; hour: number; part: number; bytes: number }

export type MarkerWriter = {
  write(bytes: Uint8Array): Promise<{ bytesWritten: number }>
  datasync(): Promise<void>
  close(): Promise<void>
}

export type MarkerReader = {
  read(into: Uint8Array, at: number, length: number): Promise<{ bytesRead: number }>
  close(): Promise<void>
}

export const toFileName = (hour: number, part: number) => `${hour}-${part}.markers`
