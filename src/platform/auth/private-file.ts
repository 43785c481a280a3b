import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The content of a file that only its owner may read, made on first use. Of several processes that start at
 * once on one folder, one makes it and all read the same.
 */
export async function loadOrMake(
  folder: string,
  name: string,
  make: () => Promise<string>,
): Promise<string> {
  const path = join(folder, name)
  const kept = await readFile(path, 'utf8').catch(ignoreMissing)
  if (kept !== undefined) return kept
  await mkdir(folder, { recursive: true })
  const draft = `${path}.${randomUUID()}.draft`
  await write(draft, await make())
  // A link appears whole or not at all, and fails where another process was first.
  await link(draft, path).catch(ignoreExisting)
  await rm(draft, { force: true })
  return await readFile(path, 'utf8')
}

async function write(path: string, content: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function ignoreExisting(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'EEXIST') throw error
}
