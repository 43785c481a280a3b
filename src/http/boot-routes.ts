import { Elysia } from 'elysia'
import { toConfig, toConfigScript, toFlags } from '../contracts/capture/posthog-boot.ts'
import { send } from './respond.ts'

const raw = { parse: 'none' } as const

/** What browser SDKs of the capture family fetch before their first event. */
export function bootRoutes() {
  const app = new Elysia({ name: 'posthog-boot' })
    .get('/array/:token/config.js', ({ params }) => send(toConfigScript(params.token)))
    .get('/array/:token/config', ({ params }) => send(toConfig(params.token)))
  for (const path of ['/flags', '/flags/', '/decide', '/decide/']) {
    app.get(path, () => send(toFlags(Bun.randomUUIDv7())))
    app.post(path, () => send(toFlags(Bun.randomUUIDv7())), raw)
  }
  return app
}
