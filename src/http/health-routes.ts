import { Elysia } from 'elysia'
import type { Health } from '../observability/health.ts'
import { send } from './respond.ts'

export type HealthParts = { health: Health; metrics(): Promise<{ type: string; text: string }> }

/** `/`, `/_readiness` and `/health` say whether events are taken; `/_liveness` whether a restart is needed. */
export function healthRoutes({ health, metrics }: HealthParts) {
  const ready = () => send(health.readiness())
  return new Elysia({ name: 'health' })
    .get('/', ready)
    .get('/_readiness', ready)
    .get('/_readiness/', ready)
    .get('/health', ready)
    .get('/health/', ready)
    .get('/_liveness', () => send(health.liveness()))
    .get('/_liveness/', () => send(health.liveness()))
    .get('/metrics', async () => {
      const { type, text } = await metrics()
      return send({ status: 200, body: text, headers: { 'content-type': type } })
    })
}
