import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { ClientIp } from '../http/client-ip.ts'
import type { OriginRule } from '../http/cors.ts'
import type { Limiter } from '../ingest/limits/rate-limiter.ts'
import { type Auth, createAuth } from '../platform/auth/auth.ts'
import { createDirectory } from '../platform/auth/directory.ts'
import { createRedisRefreshStore } from '../platform/auth/refresh-redis.ts'
import { createSqliteRefreshStore } from '../platform/auth/refresh-sqlite.ts'
import { createRealtime, type Realtime } from '../platform/realtime/realtime.ts'
import { createSdkConfig, type SdkConfig } from '../platform/sdk-config/config.ts'
import type { Projects } from '../projects/projects.ts'
import type { RedisHandle, RedisStreams } from '../redis/redis.ts'

/** What the BMT platform SDK needs beside telemetry: tokens, realtime, configuration. */
export type Platform = {
  auth: Auth
  realtime: Realtime
  sdk: SdkConfig
  /** Prints the client to try the flow with, where there is one. */
  introduce(): void
  close(): Promise<void>
}

export type PlatformParts = {
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
}

/** Throws, in words for the operator, where production has no signing keys. */
export async function openPlatform(parts: PlatformParts): Promise<Platform> {
  const { config, log, projects } = parts
  const auth = await openAuth(parts)
  const realtime = openRealtime(parts, auth)
  auth.onRevoked((session) => realtime.endSession(session))
  const sdk = createSdkConfig({
    overrides: (project, app) =>
      project === undefined ? undefined : projects.sdkOverrides(project, app),
    publicUrl: config.PUBLIC_URL,
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
    async close() {
      await realtime.close()
      auth.close()
    },
  }
}

function openAuth(parts: PlatformParts): Promise<Auth> {
  const { config, log, now, projects, redis } = parts
  return createAuth({
    settings: {
      keysFile: config.AUTH_KEYS_FILE,
      issuer: config.AUTH_ISSUER,
      accessSeconds: config.AUTH_ACCESS_SECONDS,
      refreshSeconds: config.AUTH_REFRESH_SECONDS,
      production: config.NODE_ENV === 'production',
      dataDir: config.dataDir,
    },
    directory: createDirectory({ clients: projects.clients, users: projects.users }),
    store: redis
      ? createRedisRefreshStore({
          run: (script, key, values) =>
            redis.require((commands) => commands.script(script, key, values)),
        })
      : createSqliteRefreshStore({ folder: join(config.dataDir, 'auth') }),
    waitSeconds: toWait(parts.logins),
    log,
    now,
  })
}

function openRealtime({ config, log, now, ...parts }: PlatformParts, auth: Auth): Realtime {
  const { streams, clientIp } = parts
  return createRealtime({
    auth,
    isAllowedOrigin: (origin) => parts.isOriginAllowed(origin, '/socket.io/'),
    clientIp: (request, server) => clientIp(request, server.requestIP(request)?.address ?? ''),
    waitSeconds: toWait(parts.connections),
    cluster: streams && { redis: streams, prefix: config.REDIS_PREFIX },
    log,
    now,
  })
}

function toWait(limiter: Limiter): (clientIp: string) => Promise<number> {
  return async (clientIp) => (await limiter.take(clientIp)).retryAfterSeconds
}
