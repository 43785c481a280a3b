import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { ClientEntry } from '../../core/project-entries.ts'
import { createAuthenticator } from './authenticator.ts'
import { type Directory, toGeneration } from './directory.ts'
import { createGrants } from './grants.ts'
import { createIdentities, type Identities } from './identity.ts'
import { createKeys } from './keys.ts'
import { createLoginDelays } from './login-delays.ts'
import { type FirstClient, loadFirstClient } from './private-file.ts'
import { createRefreshTokens, type RefreshStore } from './refresh.ts'
import { createRoutes, type Routes } from './routes.ts'
import { createPasswordThread, createSecrets, type Verifier } from './secrets.ts'
import { createTokens, type Tokens } from './tokens.ts'

/** Issues, renews and verifies tokens (docs/contracts/platform.md). */
export type Auth = Routes &
  Pick<Identities, 'authenticate' | 'isCurrent'> & {
    /**
     * Set outside production if no client is configured. Log it at start, so that the flow can be
     * tried.
     */
    firstClient: FirstClient | undefined
    /** It issues no tokens, because it has no signing keys. */
    isOff: boolean
    /** Calls back with the public id of each session that is revoked on this node. */
    onRevoked(listener: (session: string) => void): void
    /** Signs and verifies a token, and queries the store. */
    isHealthy(): Promise<boolean>
    close(): void
  }

export type AuthOptions = {
  settings: {
    keysFile: string | undefined
    issuer: string
    accessSeconds: number
    refreshSeconds: number
    /** From the login on; no refresh extends it. */
    sessionSeconds: number
    /** Of the server's metadata; undefined: the address of the request. */
    publicUrl: string | undefined
    production: boolean
    dataDir: string
  }
  directory: Directory
  store: RefreshStore
  /** Seconds until this address, or /64, may send the next request; 0: at once. */
  waitSeconds: (sender: string) => number | Promise<number>
  log: Log
  now: Clock
  verifier?: Verifier
}

/** Throws if the signing keys are unusable, and if there are none in production although there are clients. */
export async function createAuth(options: AuthOptions): Promise<Auth> {
  const { settings, store, log, now } = options
  const keys = await createKeys({ ...settings, file: settings.keysFile, log })
  const firstClient = await toFirstClient(options)
  const directory = withFirstClient(options.directory, firstClient)
  const tokens = createTokens({ keys, ...settings, now })
  const identities = createIdentities({ tokens, keys, directory, store, log })
  const listeners: ((session: string) => void)[] = [identities.revoked]
  const onRevoked = (session: string) => {
    log.warn({ security: 'session_revoked', session }, 'session revoked')
    for (const listener of listeners) listener(session)
  }
  const refreshTokens = createRefreshTokens({ store, ...settings, now, log, onRevoked })
  const secrets = createSecrets({ verifier: options.verifier ?? createPasswordThread() })
  const delays = createLoginDelays({ now })
  const authenticator = createAuthenticator({ directory, secrets, delays, log })
  const grants = createGrants({ directory, authenticator, tokens, refreshTokens, log })
  const maintenance = setInterval(() => void maintain(), maintenanceMs)
  maintenance.unref()

  async function maintain() {
    await keys.reload()
    await store
      .purge(now())
      .catch((error) => log.warn({ error: String(error) }, 'cannot purge expired refresh tokens'))
  }

  return {
    ...createRoutes({
      ...options,
      grants,
      identities,
      keys,
      settings,
    }),
    authenticate: identities.authenticate,
    isCurrent: identities.isCurrent,
    firstClient,
    isOff: false,
    onRevoked: (listener) => void listeners.push(listener),
    isHealthy: () => isHealthy(tokens, store),
    close() {
      clearInterval(maintenance)
      secrets.close()
      store.close()
    },
  }
}

/** Interval of purges and of checks for a changed key file. */
const maintenanceMs = 5000

async function toFirstClient({ settings, directory }: AuthOptions) {
  if (settings.production || directory.hasClients()) return undefined
  return await loadFirstClient(settings.dataDir)
}

/** The first client is valid only as long as the projects file has no clients. */
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
    const generation = toGeneration(undefined, undefined)
    const read = await tokens.read(await tokens.issue({ ...probe, generation, session: 'probe' }))
    await store.isRevoked('probe')
    return 'claims' in read
  } catch {
    return false
  }
}
