import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientEntry } from '../../core/project-entries.ts'

/**
 * The content of a file that only its owner may read. Creates the file on first use. If several
 * processes start at once on one folder, one creates it and all read the same content.
 */
export async function loadOrCreate(
  folder: string,
  name: string,
  create: () => Promise<string>,
): Promise<string> {
  const path = join(folder, name)
  const content = await readFile(path, 'utf8').catch(ignoreMissing)
  if (content !== undefined) return content
  await mkdir(folder, { recursive: true })
  const draft = `${path}.${randomUUID()}.draft`
  await write(draft, await create())
  // `link` is atomic, and fails if another process was first.
  await link(draft, path).catch(ignoreExisting)
  await rm(draft, { force: true })
  return await readFile(path, 'utf8')
}

/** A client for trying the token flow. The server logs `secret` at start. */
export type FirstClient = ClientEntry & { secret: string }

/**
 * The client of a server without configured clients. Created at the first start and kept in the
 * data folder.
 */
export async function loadFirstClient(dataDir: string): Promise<FirstClient> {
  const content = await loadOrCreate(dataDir, 'first-client.json', createFirstClient)
  const { secretHash, ...client } = JSON.parse(content) as StoredClient
  return { ...client, secretHashes: [secretHash] }
}

type StoredClient = Omit<FirstClient, 'secretHashes'> & { secretHash: string }

async function createFirstClient(): Promise<string> {
  const secret = randomBytes(24).toString('base64url')
  const client: StoredClient = {
    id: 'first-client',
    secret,
    secretHash: await Bun.password.hash(secret, hashOptions),
    permissions: ['public:*', 'private:*', 'system:notify'],
  }
  return JSON.stringify(client, null, 2)
}

/**
 * A secret of 192 random bits cannot be guessed, however cheap its hash. The usual 64 MiB would stay
 * in the memory of the process.
 */
const hashOptions = { algorithm: 'argon2id', memoryCost: 1024, timeCost: 2 } as const

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
