import type { KeptFile, MarkerDisk } from '../../../../src/ingest/dedup/marker-disk.ts'

type Operation = 'create' | 'write' | 'datasync'

type FakeFile = { hour: number; part: number; synced: number[]; unsynced: number[] }

/**
 * A disk in memory that refuses on demand, in the worst way: a refused write leaves half of its bytes, and a refused
 * datasync loses what it was about, so that the next one succeeds without it.
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
      return [...files].map(([name, file]): KeptFile => {
        return { name, hour: file.hour, part: file.part, bytes: file.synced.length }
      })
    },
    async create(_, name) {
      if (mayFail('create')) throw new Error('create refused')
      const [hour, part] = name.split(/[-.]/).map(Number)
      const file: FakeFile = { hour: hour!, part: part!, synced: [], unsynced: [] }
      files.set(name, file)
      return {
        async write(bytes) {
          const isRefused = mayFail('write')
          file.unsynced.push(...bytes.subarray(0, isRefused ? bytes.length / 2 : bytes.length))
          if (isRefused) throw new Error('write refused')
          return { bytesWritten: bytes.length }
        },
        async datasync() {
          const bytes = file.unsynced.splice(0)
          if (mayFail('datasync')) throw new Error('datasync refused')
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
          // A read may end anywhere, and a marker with it.
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
    /** What a restart finds: only what was synced. */
    afterCrash: () =>
      createFaultyDisk(new Map([...files].map(([name, file]) => [name, { ...file }]))),
  }
}
