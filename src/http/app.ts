import { Elysia } from 'elysia'
import { bootRoutes } from './boot-routes.ts'
import { type CaptureContracts, captureRoutes } from './capture-routes.ts'
import { errorReply } from './error-reply.ts'
import { type HealthParts, healthRoutes } from './health-routes.ts'
import type { Respond } from './respond.ts'

export type AppParts = {
  contracts: CaptureContracts
  respond: Respond
  health: HealthParts
}

export type App = ReturnType<typeof createApp>

/** The table of contents: every route of the server, by contract. */
export function createApp({ contracts, respond, health }: AppParts) {
  return new Elysia({ name: 'spillway' })
    .onError({ as: 'global' }, errorReply)
    .use(healthRoutes(health))
    .use(captureRoutes(contracts, respond))
    .use(bootRoutes())
}
