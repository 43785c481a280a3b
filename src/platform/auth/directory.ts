import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'
import { toDecoyHash } from './secrets.ts'

/**
 * The clients and users of the projects file. Every call uses the current lists, so a reload
 * applies at once.
 */
export type Directory = {
  findClient(id: string): ClientEntry | undefined
  findUser(username: string): UserEntry | undefined
  findUserById(id: string): UserEntry | undefined
  hasClients(): boolean
  /**
   * Hashes for a client or user that does not exist, which no secret matches. They have the number
   * and the parameters of those of an existing one, always the same one for a name: the time of a
   * verification does not reveal which names exist.
   */
  decoysOf(kind: 'client' | 'user', name: string): readonly string[]
}

/** Indexes the lists of the projects file. A replaced list is indexed again at the next look-up. */
export function createDirectory({
  clients,
  users,
}: {
  clients: () => readonly ClientEntry[]
  users: () => readonly UserEntry[]
}): Directory {
  const clientsById = createIndex(clients, (client) => client.id)
  const usersByName = createIndex(users, (user) => user.username)
  const usersById = createIndex(users, (user) => user.id)
  const chooseKey = randomBytes(16)
  const hashesOf = {
    client: () =>
      clients().flatMap(({ secretHashes = [] }) => (secretHashes[0] ? [secretHashes] : [])),
    user: () => users().map(({ passwordHash }) => [passwordHash]),
  }
  return {
    findClient: (id) => clientsById().get(id),
    findUser: (username) => usersByName().get(username),
    findUserById: (id) => usersById().get(id),
    hasClients: () => clients().length > 0,
    decoysOf(kind, name) {
      const all = hashesOf[kind]()
      const choice = createHmac('sha256', chooseKey).update(name).digest().readUInt32LE()
      return (all[choice % Math.max(1, all.length)] ?? [defaultHash]).map(toDecoyHash)
    },
  }
}

/** Only its parameters are used: the usual cost, 64 MiB and two passes. */
const defaultHash =
  '$argon2id$v=19$m=65536,t=2,p=1$iQpxWpZdGdpXlF0LOUSpNjlWBZu5ZEDwUDz5T/nh6WE$Y/MTp4oWg3nIhh+SUFjyVkZtL7oYvwfSVK3vZH+M4FY'

/** The holder of a token: a client, or a user through a client. */
export type HolderId = {
  kind: 'user' | 'client'
  id: string
  clientId: string
  /** From `toGeneration`, when the token was issued. */
  generation: string
}

/**
 * The client and the user of a token. Undefined if one of them no longer exists, or if the secret
 * that the token was issued for is no longer valid.
 */
export function findHolder(
  directory: Directory,
  { kind, id, clientId, generation }: HolderId,
): { client: ClientEntry; user: UserEntry | undefined } | undefined {
  const client = directory.findClient(clientId)
  if (!client) return undefined
  const user = kind === 'user' ? directory.findUserById(id) : undefined
  if (kind === 'user' && !user) return undefined
  const [ofClient = '', ofUser] = generation.split('.')
  if (!clientPrintsOf(client).includes(ofClient) || userPrintOf(user) !== ofUser) return undefined
  return { client, user }
}

/**
 * Identifies the secrets that a token was issued for: it changes when one of them is replaced.
 * `clientHash` is the hash that the client's secret matched; undefined for a public client. The hash
 * has a random salt, so a secret cannot be guessed from this value.
 */
export function toGeneration(clientHash: string | undefined, user: UserEntry | undefined): string {
  return `${toPrint(clientHash ?? publicPrint)}.${userPrintOf(user)}`
}

const publicPrint = 'public'

const toPrint = (hash: string) => createHash('sha256').update(hash).digest('base64url').slice(0, 16)

/** Live sockets are checked often. A reload replaces all entries. */
const clientPrints = new WeakMap<ClientEntry, readonly string[]>()
const userPrints = new WeakMap<UserEntry, string>()

function clientPrintsOf(client: ClientEntry): readonly string[] {
  const known = clientPrints.get(client)
  if (known) return known
  const prints = (client.public ? [publicPrint] : (client.secretHashes ?? [])).map(toPrint)
  clientPrints.set(client, prints)
  return prints
}

function userPrintOf(user: UserEntry | undefined): string {
  if (!user) return ''
  const known = userPrints.get(user)
  if (known !== undefined) return known
  const print = toPrint(user.passwordHash)
  userPrints.set(user, print)
  return print
}

function createIndex<T>(
  list: () => readonly T[],
  keyOf: (entry: T) => string,
): () => Map<string, T> {
  let indexed: readonly T[] | undefined
  let index = new Map<string, T>()
  return () => {
    const entries = list()
    if (entries !== indexed) {
      indexed = entries
      index = new Map(entries.map((entry) => [keyOf(entry), entry]))
    }
    return index
  }
}
