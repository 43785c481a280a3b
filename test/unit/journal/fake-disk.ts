import { basename, dirname } from 'node:path'
import type { FileSystem, OpenFile } from '../../../src/journal/file-system.ts'

const sectorBytes = 512

export type DiskCall =
  | 'list'
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'dataSync'
  | 'truncate'
  | 'unlink'
  | 'rename'
  | 'link'
  | 'makeFolder'
  | 'syncFolder'
  | 'close'

/**
 * Decides about one call: an error fails it, a number makes a write short, a promise delays it. As on
 * Linux, a failing write may still put its bytes into the page cache, and a failing sync marks dirty
 * pages as clean.
 */
type Fault = (call: DiskCall, path: string) => Error | number | Promise<void> | undefined

export type FakeDisk = {
  fault: Fault
  /** Bytes that all files together may use. */
  capacity: number
  readonly usedBytes: number
  /** Descriptors that the living process has open. */
  readonly openFiles: number
  /** The disk as seen by one process, until that process dies. */
  attach(): FileSystem
  /** The process dies: its calls never return; its writes stay in the page cache. */
  kill(): void
  /** The machine dies: `chance` decides for each unsynced sector and name whether it is kept. */
  crash(chance: () => boolean): void
  bytesOf(path: string): Buffer
  put(path: string, bytes: Uint8Array): void
  paths(): string[]
}

type Inode = { path: string; bytes: Buffer; durable: Buffer; dirty: Set<number> }

export function createFakeDisk(): FakeDisk {
  return new Disk()
}

class Disk implements FakeDisk {
  fault: Fault = () => undefined
  capacity = Number.POSITIVE_INFINITY
  readonly names = new Map<string, Inode>()
  readonly durableNames = new Map<string, Inode>()
  readonly locks = new Set<string>()
  readonly handles = new Set<object>()
  #life = 0

  get openFiles(): number {
    return this.handles.size
  }

  get usedBytes(): number {
    return [...new Set(this.names.values())].reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  attach(): FileSystem {
    const bornIn = this.#life
    return toFileSystem(this, async (call, path) => {
      const verdict = bornIn === this.#life ? await this.fault(call, path) : undefined
      if (bornIn !== this.#life) await new Promise(() => {})
      if (verdict instanceof Error) throw verdict
      return typeof verdict === 'number' ? verdict : undefined
    })
  }

  kill(): void {
    this.#life += 1
    this.locks.clear()
    this.handles.clear()
  }

  crash(chance: () => boolean): void {
    this.kill()
    for (const path of new Set([...this.names.keys(), ...this.durableNames.keys()])) {
      const inode = chance() ? this.names.get(path) : this.durableNames.get(path)
      if (inode) this.names.set(path, inode)
      else this.names.delete(path)
    }
    for (const inode of new Set(this.names.values())) settle(inode, chance)
    this.durableNames.clear()
    for (const [path, inode] of this.names) this.durableNames.set(path, inode)
  }

  find(path: string): Inode {
    const inode = this.names.get(path)
    if (!inode) throw toError('ENOENT', path)
    return inode
  }

  bytesOf(path: string): Buffer {
    return Buffer.from(this.find(path).bytes)
  }

  put(path: string, bytes: Uint8Array): void {
    const inode = {
      path,
      bytes: Buffer.from(bytes),
      durable: Buffer.from(bytes),
      dirty: new Set<number>(),
    }
    this.names.set(path, inode)
    this.durableNames.set(path, inode)
  }

  paths(): string[] {
    return [...this.names.keys()]
  }
}

type Ask = (call: DiskCall, path: string) => Promise<number | undefined>

function toFileSystem(disk: Disk, ask: Ask): FileSystem {
  const { names, durableNames, locks } = disk
  return {
    async open(path, mode) {
      await ask('open', path)
      if (mode === 'create' && names.has(path)) throw toError('EEXIST', path)
      if (mode === 'create') {
        const nothing = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) }
        names.set(path, { path, ...nothing, dirty: new Set<number>() })
      }
      return toFile(disk, ask, disk.find(path))
    },
    async list(folder) {
      await ask('list', folder)
      return [...names.keys()]
        .filter((path) => dirname(path) === folder)
        .map((path) => basename(path))
    },
    async makeFolder(path) {
      await ask('makeFolder', path)
    },
    async rename(from, to) {
      await ask('rename', from)
      names.set(to, disk.find(from))
      names.delete(from)
    },
    async link(from, to) {
      await ask('link', from)
      if (names.has(to)) throw toError('EEXIST', to)
      names.set(to, disk.find(from))
    },
    async unlink(path) {
      await ask('unlink', path)
      disk.find(path)
      names.delete(path)
    },
    async syncFolder(folder) {
      await ask('syncFolder', folder)
      for (const path of new Set([...names.keys(), ...durableNames.keys()])) {
        if (dirname(path) !== folder) continue
        const inode = names.get(path)
        if (inode) durableNames.set(path, inode)
        else durableNames.delete(path)
      }
    },
    async freeBytes(folder) {
      await ask('list', folder)
      return disk.capacity - disk.usedBytes
    },
    lock(path) {
      if (locks.has(path)) return undefined
      locks.add(path)
      return { release: () => void locks.delete(path) }
    },
  }
}

function toFile(disk: Disk, ask: Ask, inode: Inode): OpenFile {
  const { path } = inode
  const handle = {}
  disk.handles.add(handle)

  async function sync(call: 'sync' | 'dataSync', only = inode.dirty): Promise<void> {
    try {
      await ask(call, path)
    } catch (error) {
      inode.dirty.clear()
      throw error
    }
    const durable = Buffer.alloc(inode.bytes.length)
    inode.durable.copy(durable)
    for (const sector of only) copySector(inode.bytes, durable, sector)
    inode.durable = durable
    inode.dirty.clear()
  }

  async function write(bytes: Uint8Array, position: number): Promise<number> {
    const verdict = await ask('write', path).catch((error: Error) => error)
    const taken = typeof verdict === 'number' ? bytes.subarray(0, verdict) : bytes
    const growth = position + taken.length - inode.bytes.length
    if (growth > 0 && disk.usedBytes + growth > disk.capacity) throw toError('ENOSPC', path)
    apply(inode, taken, position)
    if (verdict instanceof Error) throw verdict
    return taken.length
  }

  /** Syncs the bytes it wrote and leaves others dirty. The write or the sync may fail. */
  async function writeThrough(bytes: Uint8Array, position: number): Promise<number> {
    const dirtyBefore = new Set(inode.dirty)
    const written = await write(bytes, position)
    await sync('dataSync', new Set(sectorsOf(position, written)))
    for (const sector of dirtyBefore) inode.dirty.add(sector)
    return written
  }

  return {
    async read(into, position) {
      await ask('read', path)
      const found = inode.bytes.subarray(position, position + into.length)
      into.set(found)
      return found.length
    },
    write,
    writeThrough,
    sync: () => sync('sync'),
    dataSync: () => sync('dataSync'),
    async truncate(bytes) {
      await ask('truncate', path)
      inode.bytes = Buffer.from(inode.bytes.subarray(0, bytes))
    },
    bytes: async () => inode.bytes.length,
    async close() {
      // Linux frees the descriptor even when close fails.
      disk.handles.delete(handle)
      await ask('close', path)
    },
  }
}

export function toError(code: string, path = ''): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

function apply(inode: Inode, bytes: Uint8Array, position: number): void {
  const end = position + bytes.length
  if (end > inode.bytes.length) {
    const longer = Buffer.alloc(end)
    inode.bytes.copy(longer)
    inode.bytes = longer
  }
  inode.bytes.set(bytes, position)
  for (const sector of sectorsOf(position, bytes.length)) inode.dirty.add(sector)
}

function sectorsOf(position: number, bytes: number): number[] {
  const first = Math.floor(position / sectorBytes)
  const end = Math.ceil((position + bytes) / sectorBytes)
  return Array.from({ length: end - first }, (_, index) => first + index)
}

function settle(inode: Inode, chance: () => boolean): void {
  const settled = Buffer.alloc(chance() ? inode.bytes.length : inode.durable.length)
  inode.durable.copy(settled)
  for (const sector of inode.dirty) if (chance()) copySector(inode.bytes, settled, sector)
  inode.bytes = settled
  inode.durable = Buffer.from(settled)
  inode.dirty.clear()
}

function copySector(from: Buffer, to: Buffer, sector: number): void {
  const start = sector * sectorBytes
  if (start < to.length && start < from.length) from.copy(to, start, start, start + sectorBytes)
}
