import type { ClientEntry, UserEntry } from '../../core/project-entries.ts'

/**
 * The clients and users of the projects file. Every call uses the current lists, so a reload
 * applies at once.
 */
export type Directory = {
  findClient(id: string): ClientEntry | undefined
  findUser(username: string): UserEntry | undefined
  findUserById(id: string): UserEntry | undefined
  hasClients(): boolean
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
  return {
    findClient: (id) => clientsById().get(id),
    findUser: (username) => usersByName().get(username),
    findUserById: (id) => usersById().get(id),
    hasClients: () => clients().length > 0,
  }
}

/** The client and the user of a token. Undefined if one of them no longer exists. */
export function findHolder(
  directory: Directory,
  { kind, id, clientId }: { kind: 'user' | 'client'; id: string; clientId: string },
): { client: ClientEntry; user: UserEntry | undefined } | undefined {
  const client = directory.findClient(clientId)
  if (!client) return undefined
  if (kind === 'client') return { client, user: undefined }
  const user = directory.findUserById(id)
  return user && { client, user }
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
