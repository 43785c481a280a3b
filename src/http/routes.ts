import { Elysia } from 'elysia'
import type { Contract } from '../core/protocol.ts'
import type { Respond } from './respond.ts'

export type CaptureContracts = {
  // biome-ignore lint/suspicious/noExplicitAny: each contract has a submission of its own.
  [name in 'capture' | 'recording']: Contract<any>
}

const eventPaths = ['/e', '/engage', '/track', '/i/v0/e', '/capture', '/batch']
const recordingPaths = ['/s', '/capture/recording']
/** Bodies are ours to decode. */
const raw = { parse: 'none' } as const

/** PostHog-compatible capture: each path with and without a trailing slash, by GET and POST. */
export function captureRoutes({ capture, recording }: CaptureContracts, respond: Respond) {
  const app = new Elysia({ name: 'capture' })
  for (const path of eventPaths.flatMap((path) => [path, `${path}/`])) {
    app.get(path, ({ request, server }) => respond(capture, { request, server }), raw)
    app.post(path, ({ request, server }) => respond(capture, { request, server }), raw)
  }
  for (const path of recordingPaths.flatMap((path) => [path, `${path}/`])) {
    app.get(path, ({ request, server }) => respond(recording, { request, server }), raw)
    app.post(path, ({ request, server }) => respond(recording, { request, server }), raw)
  }
  return app
}
