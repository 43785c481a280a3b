import { Elysia } from 'elysia'
import type { Contract } from '../core/protocol.ts'
import type { Respond } from './respond.ts'

export type EventContracts = {
  // biome-ignore lint/suspicious/noExplicitAny: each contract has a submission of its own.
  [name in 'link' | 'report' | 'telemetry']: Contract<any>
}

const raw = { parse: 'none' } as const

/** Link tracking, mobile event report and the BMT platform's telemetry. */
export function eventRoutes({ link, report, telemetry }: EventContracts, respond: Respond) {
  const app = new Elysia({ name: 'events' })
  const paths = [
    ['/api/events/track', link],
    ['/users/report/events', report],
    ['/v2/users/report/events', report],
    ['/api/telemetry/events', telemetry],
  ] as const
  for (const [path, contract] of paths) {
    app.post(path, ({ request, server }) => respond(contract, { request, server }), raw)
  }
  return app
}
