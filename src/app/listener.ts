import type { Config } from '../config/config.ts'
import { readSettingFile } from '../config/setting-file.ts'
import { type Listener, listen, listenForOperators } from '../http/listen.ts'
import { createSocketElsewhere } from '../http/realtime-port.ts'
import type { App, createAdminApp } from '../http/routes.ts'
import type { BaseServices } from './services.ts'

/** The routes for everybody, and those of ADMIN_PORT. */
export type Apps = { app: App; adminApp: ReturnType<typeof createAdminApp> }

type Shell = Pick<Listener, 'refuse' | 'trace' | 'nextId'> & {
  /** One of WORKERS: it shares its ports, and Socket.IO has another one. */
  worker: object | undefined
}

/** Listens on PORT, and on ADMIN_PORT if it is set. */
export function openListener(
  { config, isOriginAllowed, platform: { realtime } }: BaseServices,
  { worker, ...shell }: Shell,
  { app, adminApp }: Apps,
) {
  const { HOST: hostname, KEEP_ALIVE_SECONDS: idleSeconds, ADMIN_PORT: adminPort } = config
  const socket = worker ? createSocketElsewhere(realtime, config.REALTIME_PORT) : realtime
  const shared = { hostname, idleSeconds, reusePort: worker !== undefined }
  const main = listen(
    { app, isOriginAllowed, socket, ...shell },
    { ...shared, port: config.PORT, tls: loadTls(config) },
  )
  let admin: ReturnType<typeof listenForOperators> | undefined
  try {
    if (adminPort > 0)
      admin = listenForOperators({ app: adminApp, ...shell }, { ...shared, port: adminPort })
  } catch (error) {
    void main.stop(0)
    throw error
  }
  return {
    ...main,
    replaceApps(apps: Apps) {
      main.replaceApp(apps.app)
      admin?.replaceApp(apps.adminApp)
    },
    async stop(withinMs: number) {
      await main.stop(withinMs)
      await admin?.stop(0)
    },
  }
}

export function loadTls({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key }: Config) {
  if (cert === undefined || key === undefined) return
  return { cert: readSettingFile('TLS_CERT_FILE', cert), key: readSettingFile('TLS_KEY_FILE', key) }
}
