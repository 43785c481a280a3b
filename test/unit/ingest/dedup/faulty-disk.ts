import type { MarkerDisk, MarkerFile } from '../../../../src/ingest/dedup/marker-disk.ts'

type Operation = 'create' | 'write' | 'datasync'

type FakeFile = { hour: number; part: number; synced: number[]; unsynced: number[] }

/**
 * A disk in memory that fails on demand, in the worst way: a failed write leaves half of its bytes,
 * and a failed datasync loses the unsynced bytes, so that the next one succeeds without them.
 */
export function createFaultyDisk(files = new Map<string, FakeFile>()) {
  const failing = new Map<Operation, number>()
  const mayFail = (operation: Operation) => {
    const left = failing.get(operation) ?? 0
    failing.set(operation, Math.max(0, left - 1))
    return left > 0
  }
  const disk: MarkerDisk = {
    async list() {
      return [...files].map(([name, file]): MarkerFile => {
        return { name, hour: file.hour, part: file.part, bytes: file.synced.length }
      })
    },
    async create(_, name) {
      if (mayFail('create')) throw new Error('create failed')
      const [hour, part] = name.split(/[-.]/).map(Number)
      const file: FakeFile = { hour: hour!, part: part!, synced: [], unsynced: [] }
      files.set(name, file)
      return {
        async write(bytes) {
          const isFailed = mayFail('write')
          file.unsynced.push(...bytes.subarray(0, isFailed ? bytes.length / 2 : bytes.length))
          if (isFailed) throw new Error('write failed')
          return { bytesWritten: bytes.length }
        },
        async datasync() {
          const bytes = file.unsynced.splice(0)
          if (mayFail('datasync')) throw new Error('datasync failed')
          file.synced.push(...bytes)
        },
        async close() {},
      }
    },
    async read(_, name) {
      const bytes = Uint8Array.from(files.get(name)?.synced ?? [])
      let position = 0
      return {
        async read(into, at, length) {
          // A read may end at any byte, also within a key.
          const part = bytes.subarray(position, position + Math.min(length, 5))
          into.set(part, at)
          position += part.length
          return { bytesRead: part.length }
        },
        async close() {},
      }
    },
    async remove(_, name) {
      files.delete(name)
    },
  }
  return {
    ...disk,
    failNext: (operation: Operation) => failing.set(operation, 1),
    failAlways: (operation: Operation) => failing.set(operation, Number.POSITIVE_INFINITY),
    /** The disk as a restart finds it: only synced bytes. */
    afterCrash: () =>
      createFaultyDisk(new Map([...files].map(([name, file]) => [name, { ...file }]))),
  }
}
