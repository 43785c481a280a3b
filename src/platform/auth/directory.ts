/** Who may ask for tokens. Looked up anew each time, so that a reloaded projects file counts at once. */
export type Directory = {
  findClient(id: string): Client | undefined
  findUser(username: string): User | undefined
  findUserById(id: string): User | undefined
  hasClients(): boolean
}

/** A program. One without a `secretHash` (argon2id) must be marked `public`. */
export type Client = {
  id: string
  secretHash?: string | undefined
  public?: boolean | undefined
  permissions: readonly string[]
}

export type User = {
  id: string
  username: string
  passwordHash: string
  email?: string | undefined
  name?: string | undefined
  permissions: readonly string[]
}

/** Indexes the lists of the projects file. A list that was replaced is indexed again on the next look-up. */
export function createDirectory({
  clients,
  users,
}: {
  clients: () => readonly Client[]
  users: () => readonly User[]
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

/** The records behind a token. Undefined where one of them is gone. */
export function findHolder(
  directory: Directory,
  { kind, id, clientId }: { kind: 'user' | 'client'; id: string; clientId: string },
): { client: Client; user: User | undefined } | undefined {
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
