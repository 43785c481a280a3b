import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { ClientEntry } from '../../core/project-entries.ts'
import type { Directory } from './directory.ts'
import { type FirstClient, loadFirstClient } from './first-client.ts'
import { createGrants } from './grants.ts'
import { createIdentities, type Identities } from './identity.ts'
import { createKeys } from './keys.ts'
import { createParties } from './parties.ts'
import { createPasswordThread, type Verifier } from './password-thread.ts'
import { createRefreshTokens } from './refresh.ts'
import type { RefreshStore } from './refresh-store.ts'
import { createRoutes, type Routes } from './routes.ts'
import { createSecrets } from './secrets.ts'
import { createTokens, type Tokens } from './tokens.ts'

/** Tokens: asking for them, renewing them, judging them. The replies are the contract's, section 2. */
export type Auth = Routes &
  Pick<Identities, 'authenticate' | 'isCurrent'> & {
    /** Made where none is configured outside production: print it at start, so that the flow can be tried. */
    firstClient: FirstClient | undefined
    /** Hears the public id of each session that is revoked here. */
    onRevoked(listener: (session: string) => void): void
    /** Signs, verifies and asks the store, for real. */
    isHealthy(): Promise<boolean>
    close(): void
  }

export type AuthSettings = {
  keysFile: string | undefined
  issuer: string
  accessSeconds: number
  refreshSeconds: number
  production: boolean
  dataDir: string
}

export type AuthParts = {
  settings: AuthSettings
  directory: Directory
  store: RefreshStore
  /** Seconds until this address may ask again, 0 for at once. */
  waitSeconds: (clientIp: string) => number | Promise<number>
  log: Log
  now: Clock
  verifier?: Verifier
}

/** Throws where the signing keys cannot be used, and in production where there are none. */
export async function createAuth(parts: AuthParts): Promise<Auth> {
  const { settings, store, log, now } = parts
  const keys = await createKeys({ ...settings, file: settings.keysFile, log })
  const firstClient = await toFirstClient(parts)
  const directory = withFirstClient(parts.directory, firstClient)
  const tokens = createTokens({ keys, ...settings, now })
  const identities = createIdentities({ tokens, keys, directory, store, log })
  const listeners: ((session: string) => void)[] = [identities.revoked]
  const onRevoked = (session: string) => {
    log.warn({ session }, 'session revoked')
    for (const listener of listeners) listener(session)
  }
  const refreshTokens = createRefreshTokens({ store, ...settings, now, log, onRevoked })
  const secrets = createSecrets({ verifier: parts.verifier ?? createPasswordThread() })
  const parties = createParties({ directory, secrets, log })
  const grants = createGrants({ directory, parties, tokens, refreshTokens, log })
  const upkeep = setInterval(() => void maintain(), upkeepMs)
  upkeep.unref()

  async function maintain() {
    await keys.reload()
    await store.purge(now()).catch((error) => log.warn({ error: String(error) }, 'purge failed'))
  }

  return {
    ...createRoutes({ ...parts, grants, identities, keys, accessSeconds: settings.accessSeconds }),
    authenticate: identities.authenticate,
    isCurrent: identities.isCurrent,
    firstClient,
    onRevoked: (listener) => void listeners.push(listener),
    isHealthy: () => isHealthy(tokens, store),
    close() {
      clearInterval(upkeep)
      secrets.close()
      store.close()
    },
  }
}

/** How soon a changed key file is taken up. */
const upkeepMs = 5000

async function toFirstClient({ settings, directory }: AuthParts) {
  if (settings.production || directory.hasClients()) return undefined
  return await loadFirstClient(settings.dataDir)
}

/** The first client steps back as soon as a reload configures others. */
function withFirstClient(directory: Directory, first: ClientEntry | undefined): Directory {
  if (!first) return directory
  return {
    ...directory,
    findClient: (id) =>
      id === first.id && !directory.hasClients() ? first : directory.findClient(id),
  }
}

async function isHealthy(tokens: Tokens, store: RefreshStore): Promise<boolean> {
  try {
    const probe = { kind: 'client', subject: 'probe', clientId: 'probe', permissions: [] } as const
    const read = await tokens.read(await tokens.issue({ ...probe, session: undefined }))
    await store.isRevoked('probe')
    return 'claims' in read
  } catch {
    return false
  }
}
