import fs from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { S3Client } from 'bun'
import { withTimeLimit } from '../../core/async.ts'
import { diskFileSystem, isCode, removeIfPresent } from '../../journal/file-system.ts'
import type { ArchivePlace } from './settings.ts'

/** Objects by name. Rejections are errors whose message an operator understands. */
export type ArchiveStore = {
  /** Resolves when the object is on the other side's disk. Replaces one of the same name. */
  put(name: string, bytes: Uint8Array): Promise<void>
  get(name: string): Promise<Buffer>
  /** All names from `from` to below `before`, in their order. */
  list(range: { from: string; before: string }): AsyncGenerator<string>
  /** Rejects if the place cannot be reached. Writes nothing. */
  check(): Promise<void>
}

export const openArchive = (place: ArchivePlace): ArchiveStore =>
  'folder' in place ? createFolderStore(place.folder) : createS3Store(place)

/** A large object on a slow line takes a while; a server that hangs must not be waited for. */
const callMsMax = 60_000

type S3Options = { client?: Pick<S3Client, 'write' | 'file' | 'list'>; msMax?: number }

/** Bun reads the credentials, the region and the endpoint from the variables S3_* or AWS_*. */
export function createS3Store(
  { bucket, prefix }: { bucket: string; prefix: string },
  { client = new S3Client({ bucket }), msMax = callMsMax }: S3Options = {},
): ArchiveStore {
  const where = `s3://${bucket}/${prefix}`

  async function call<T>(what: string, run: () => Promise<T>): Promise<T> {
    try {
      return await withTimeLimit(run(), msMax, () => {
        throw new Error(`no answer within ${msMax} ms`)
      })
    } catch (error) {
      const { code = '', message } = error as Error & { code?: string }
      throw new Error(`cannot ${what} ${where}: ${code ? `${code}: ` : ''}${message}`)
    }
  }

  async function* list({ from, before }: { from: string; before: string }) {
    let startAfter = prefix + from
    for (;;) {
      const asked = { prefix, startAfter, maxKeys: 1000 }
      const { contents = [], isTruncated } = await call('list', () => client.list(asked))
      for (const { key } of contents) {
        const name = key.slice(prefix.length)
        if (name >= before) return
        yield name
      }
      const last = contents.at(-1)
      if (!isTruncated || !last) return
      startAfter = last.key
    }
  }

  return {
    async put(name, bytes) {
      await call('write to', () => client.write(prefix + name, bytes))
    },
    get: (name) =>
      call('read from', async () => Buffer.from(await client.file(prefix + name).bytes())),
    list,
    async check() {
      await call('reach', () => client.list({ prefix, maxKeys: 1 }))
    },
  }
}

/**
 * A file is written under another name, synced, and renamed: a file with its name is whole. A crash leaves the
 * draft; the restart sends the same object again, which replaces it.
 */
export function createFolderStore(folder: string): ArchiveStore {
  async function put(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(folder, name)
    await makeDay(dirname(path))
    const draft = join(dirname(path), `.draft-${basename(path)}`)
    try {
      await fs.writeFile(draft, bytes, { flush: true })
      await fs.rename(draft, path)
    } catch (error) {
      await removeIfPresent(diskFileSystem, draft).catch(() => {})
      throw error
    }
    await diskFileSystem.syncFolder(dirname(path))
  }

  /** Never makes the archive's folder itself: it may be the place of a disk that is not mounted. */
  async function makeDay(path: string): Promise<void> {
    try {
      await fs.mkdir(path)
      await diskFileSystem.syncFolder(folder)
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error
    }
  }

  async function* list({ from, before }: { from: string; before: string }) {
    for (const day of await namesIn(folder)) {
      if (`${day}/` < from.slice(0, day.length + 1) || day >= before) continue
      for (const file of await namesIn(join(folder, day))) {
        const name = `${day}/${file}`
        if (name > from && name < before && !file.startsWith('.')) yield name
      }
    }
  }

  return {
    put,
    get: (name) => fs.readFile(join(folder, name)),
    list,
    async check() {
      const { R_OK, W_OK, X_OK } = fs.constants
      const found = await fs.stat(folder).catch((error) => {
        if (!isCode(error, 'ENOENT')) throw error
        throw new Error(`the folder ${folder} does not exist; create it, or mount its disk`)
      })
      if (!found.isDirectory()) throw new Error(`${folder} is not a folder`)
      await fs.access(folder, R_OK | W_OK | X_OK)
    },
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await fs.readdir(folder)).sort()
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return []
    throw error
  }
}
