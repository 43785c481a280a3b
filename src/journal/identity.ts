import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  type FileSystem,
  openIfPresent,
  readAll,
  removeIfPresent,
  writeAll,
} from './file-system.ts'

const fileName = 'identity'
const bytesMax = 64

/** The journal's uuid, or undefined if the file is missing or damaged. */
export async function loadIdentity(
  fileSystem: FileSystem,
  dir: string,
): Promise<string | undefined> {
  const text = await readText(fileSystem, join(dir, fileName))
  const [id = '', checksum] = text.trimEnd().split(' ')
  return checksum === toChecksum(id) ? id : undefined
}

/** Writes a draft and renames it, so that a crash cannot leave a partial file. */
export async function storeIdentity(
  fileSystem: FileSystem,
  dir: string,
  id: string,
): Promise<void> {
  const draft = join(dir, `${fileName}.draft`)
  await removeIfPresent(fileSystem, draft)
  const file = await fileSystem.open(draft, 'create')
  try {
    await writeAll(file.write, Buffer.from(`${id} ${toChecksum(id)}\n`), 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await fileSystem.rename(draft, join(dir, fileName))
  await fileSystem.syncFolder(dir)
}

function toChecksum(id: string): string {
  return crc32(id).toString(16)
}

async function readText(fileSystem: FileSystem, path: string): Promise<string> {
  const file = await openIfPresent(fileSystem, path)
  if (!file) return ''
  try {
    const bytes = Buffer.alloc(bytesMax)
    return bytes.toString('latin1', 0, await readAll(file, bytes, 0))
  } finally {
    await file.close()
  }
}
