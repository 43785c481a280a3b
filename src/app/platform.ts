import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import type { OriginRule } from '../core/cors.ts'
import type { Log } from '../core/log.ts'
import type { SenderHold } from '../core/sender-hold.ts'
import type { ClientIp } from '../http/client-ip.ts'
import type { Limiter } from '../ingest/limits/rate-limiter.ts'
import { type Auth, createAuth } from '../platform/auth/auth.ts'
import { createDirectory } from '../platform/auth/directory.ts'
import { createRedisRefreshStore } from '../platform/auth/refresh-redis.ts'
import { createSqliteRefreshStore } from '../platform/auth/refresh-sqlite.ts'
import { createAuthWithoutKeys, withoutKeys } from '../platform/auth/without-keys.ts'
import { defaultLimits } from '../platform/realtime/limits.ts'
import { createRealtime, type Realtime } from '../platform/realtime/realtime.ts'
import { createSdkConfig, type SdkConfig } from '../platform/sdk-config/config.ts'
import type { Projects } from '../projects/projects.ts'
import type { RedisHandle, RedisStreams } from '../redis/redis.ts'
import type { Closer } from './closer.ts'
import { readOpenFilesMax } from './descriptors.ts'

/** The services of the BMT platform SDK beside telemetry: tokens, realtime and configuration. */
export type Platform = Readonly<{
  auth: Auth
  realtime: Realtime
  sdk: SdkConfig
  /** Logs the first client and its secret, if there is one, so that an operator can try the token flow. */
  introduce(): void
}>

type PlatformOptions = {
  config: Config
  log: Log
  now: Clock
  projects: Projects
  clientIp: ClientIp
  isOriginAllowed: OriginRule
  redis: RedisHandle | undefined
  streams: RedisStreams | undefined
  /** By client address. */
  logins: Limiter
  connections: Limiter
  hold: SenderHold
  closer: Closer
}

/** Rejects with a message for the operator when production has no signing keys. */
export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  const { config, log, projects, closer } = options
  const auth = await openAuth(options)
  closer.add('auth', auth.close)
  const realtime = openRealtime(options, auth)
  closer.add('realtime', realtime.close)
  auth.onRevoked((session) => realtime.endSession(session))
  projects.onChange(realtime.checkIdentities)
  const sdk = createSdkConfig({
    overrides: (project, app) =>
      project === undefined ? undefined : projects.sdkOverrides(project, app),
    publicUrl: config.PUBLIC_URL,
    // A client could otherwise have the addresses of others cached for a Host of its choice.
    needsPublicUrl: config.NODE_ENV === 'production',
    realtimePort: config.WORKERS > 1 ? config.REALTIME_PORT : undefined,
  })
  return {
    auth,
    realtime,
    sdk,
    introduce() {
      if (!auth.firstClient) return
      const { id, secret } = auth.firstClient
      log.info({ client_id: id, client_secret: secret }, 'a client to try the token flow with')
    },
  }
}

async function openAuth(options: PlatformOptions): Promise<Auth> {
  const { config, log, now, projects, redis } = options
  const store = redis
    ? createRedisRefreshStore({
        run: (script, key, values) =>
          redis.require((commands) => commands.script(script, key, values)),
      })
    : createSqliteRefreshStore({ folder: join(config.dataDir, 'auth') })
  const isProduction = config.NODE_ENV === 'production'
  if (isProduction && config.AUTH_KEYS_FILE === undefined && projects.clients().length === 0) {
    log.warn({}, withoutKeys)
    return createAuthWithoutKeys({ store })
  }
  try {
    return await createAuth({
      settings: {
        keysFile: config.AUTH_KEYS_FILE,
        issuer: config.AUTH_ISSUER,
        accessSeconds: config.AUTH_ACCESS_SECONDS,
        refreshSeconds: config.AUTH_REFRESH_SECONDS,
        sessionSeconds: config.AUTH_SESSION_SECONDS,
        publicUrl: config.PUBLIC_URL,
        production: isProduction,
        dataDir: config.dataDir,
      },
      directory: createDirectory({ clients: projects.clients, users: projects.users }),
      store,
      waitSeconds: toWaitSeconds(options.logins, options),
      log,
      now,
    })
  } catch (error) {
    store.close()
    throw error
  }
}

function openRealtime({ config, log, now, ...options }: PlatformOptions, auth: Auth): Realtime {
  const { streams, clientIp } = options
  return createRealtime({
    auth,
    isOff: auth.isOff,
    isAllowedOrigin: (origin) => options.isOriginAllowed(origin, '/socket.io/'),
    clientIp: (request, server) => clientIp(request, server.requestIP(request)?.address ?? ''),
    waitSeconds: toWaitSeconds(options.connections, { hold: options.hold, now }),
    hold: options.hold,
    cluster: streams && { redis: streams, prefix: config.REDIS_PREFIX },
    // Sockets stay open, so they must leave descriptors for events.
    limits: { socketsMax: Math.min(defaultLimits.socketsMax, Math.floor(readOpenFilesMax() / 2)) },
    log,
    now,
  })
}

/** The rate of the sender, or the rest of the time that it is held back. */
function toWaitSeconds(limiter: Limiter, { hold, now }: Pick<PlatformOptions, 'hold' | 'now'>) {
  return async (sender: string): Promise<number> => {
    const heldSeconds = hold.waitSeconds(sender, now())
    return heldSeconds > 0 ? heldSeconds : (await limiter.take(sender)).retryAfterSeconds
  }
}
