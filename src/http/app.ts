import { Elysia } from 'elysia'
import { bootRoutes } from './boot-routes.ts'
import { createErrorReply } from './error-reply.ts'
import { type EventContracts, eventRoutes } from './event-routes.ts'
import { type HealthParts, healthRoutes } from './health-routes.ts'
import { type PlatformServices, platformRoutes } from './platform-routes.ts'
import type { Answer, Respond } from './respond.ts'
import { type CaptureContracts, captureRoutes } from './routes.ts'

export type AppParts = {
  contracts: CaptureContracts & EventContracts
  respond: Respond
  answer: Answer
  health: HealthParts
  platform: PlatformServices
}

/** Elysia takes for granted that a host has four letters: of `http://app/e` it would route nothing. */
export const anyHostname = { standardHostname: false }

export type App = ReturnType<typeof createApp>

/** The table of contents: every route of the server, by contract. Socket.IO's stands in `listen.ts`. */
export function createApp({ contracts, respond, answer, health, platform }: AppParts) {
  const methods = new Map<string, string[]>()
  const app = new Elysia({ name: 'spillway', handler: anyHostname })
    .onError(
      { as: 'global' },
      createErrorReply((path) => methods.get(path) ?? []),
    )
    .use(healthRoutes(health))
    .use(captureRoutes(contracts, respond))
    .use(eventRoutes(contracts, respond))
    .use(bootRoutes())
    .use(platformRoutes(platform, answer))
  for (const { path, method } of app.routes) {
    methods.set(path, [...(methods.get(path) ?? []), method])
  }
  return app
}
