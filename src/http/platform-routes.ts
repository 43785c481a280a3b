import { Elysia } from 'elysia'
import type { PlatformHealth } from '../observability/platform-health.ts'
import type { Auth } from '../platform/auth/auth.ts'
import type { SdkConfig } from '../platform/sdk-config/config.ts'
import type { IsForwardedTls } from './forwarded-tls.ts'
import type { Answer, Context } from './respond.ts'

export type PlatformServices = {
  auth: Pick<Auth, 'token' | 'refresh' | 'verify' | 'jwks'>
  sdk: SdkConfig
  isForwardedTls: IsForwardedTls
  health: PlatformHealth
}

const raw = { parse: 'none' } as const

/** The BMT platform SDK beside its telemetry: tokens, configuration and health. */
export function platformRoutes(services: PlatformServices, answer: Answer) {
  const { auth, sdk, health, isForwardedTls } = services
  const isByTls = ({ request, server }: Pick<Context, 'request' | 'server'>) =>
    isForwardedTls(request, server?.requestIP(request)?.address ?? '')
  const app = new Elysia({ name: 'platform' })
  app.post(
    '/api/auth/token',
    ({ request, server }) => answer('auth', { request, server }, (ip) => auth.token(request, ip)),
    raw,
  )
  app.post(
    '/api/auth/refresh',
    ({ request, server }) => answer('auth', { request, server }, (ip) => auth.refresh(request, ip)),
    raw,
  )
  app.get('/api/auth/verify', ({ request, server }) =>
    answer('auth', { request, server }, (ip) => auth.verify(request, ip)),
  )
  app.get('/.well-known/jwks.json', ({ request, server }) =>
    answer('auth', { request, server }, () => auth.jwks()),
  )
  app.get('/api/sdk/config', ({ request, server }) =>
    answer('sdk', { request, server }, () => sdk.reply(request, isByTls({ request, server }))),
  )
  app.get('/api/health', ({ request, server }) =>
    answer('health', { request, server }, () => health()),
  )
  return app
}
