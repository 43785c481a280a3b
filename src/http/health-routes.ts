import { Elysia } from 'elysia'
import type { Health } from '../ops/health.ts'
import { type Context, send } from './respond.ts'

export type HealthParts = { health: Health; metrics(): Promise<{ type: string; text: string }> }

/** `/`, `/_readiness` and `/health` say whether events are taken; `/_liveness` whether a restart is needed. */
export function healthRoutes({ health, metrics }: HealthParts) {
  const ready = (set: Context['set']) => send(set, health.readiness())
  return new Elysia({ name: 'health' })
    .get('/', ({ set }) => ready(set))
    .get('/_readiness', ({ set }) => ready(set))
    .get('/_readiness/', ({ set }) => ready(set))
    .get('/health', ({ set }) => ready(set))
    .get('/health/', ({ set }) => ready(set))
    .get('/_liveness', ({ set }) => send(set, health.liveness()))
    .get('/_liveness/', ({ set }) => send(set, health.liveness()))
    .get('/metrics', async ({ set }) => {
      const { type, text } = await metrics()
      return send(set, { status: 200, body: text, headers: { 'content-type': type } })
    })
}
