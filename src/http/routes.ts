import { Elysia } from 'elysia'
import type { PosthogBoot } from '../contracts/capture/posthog-boot.ts'
import { IngestError } from '../core/errors.ts'
import type { Contract, Reply } from '../core/protocol.ts'
import type { Health, PlatformHealth } from '../observability/health.ts'
import type { Auth } from '../platform/auth/auth.ts'
import type { SdkConfig } from '../platform/sdk-config/config.ts'
import type { IsForwardedTls } from './client-ip.ts'
import { type ConsoleAccess, toAdminConsoleRoutes, toConsoleRoutes } from './console.ts'
import { parseTarget } from './incoming.ts'
import { createMethodTable } from './method-table.ts'
import type { IsOperator } from './operators.ts'
import {
  type Answer,
  type Context,
  probe,
  type Refuse,
  type Respond,
  type Trace,
  toPeer,
  toRequestFault,
} from './respond.ts'
import type { Scripts } from './scripts.ts'

/** The routes of the server, without CORS. `compose.ts` adds CORS. */
export function createApp(options: AppOptions): App {
  const events = eventRoutes(options)
  const routes = toElysia(options, [
    ...events,
    ...healthRoutes(options),
    ...platformRoutes(options),
    ...sdkRoutes(options),
    ...toConsoleRoutes(options),
  ])
  const posts = events.flatMap(([methods, paths, handler]) =>
    methods.includes('POST') ? paths.map((path) => [path, handler] as const) : [],
  )
  return { routes, posts: new Map(posts) }
}

/** `posts`: the handlers of requests with events, by path, for those that need nothing of Elysia. */
export type App = { routes: Elysia; posts: ReadonlyMap<string, EventHandler> }

/** The routes of ADMIN_PORT: every client that reaches it is an operator. */
export function createAdminApp(options: AppOptions): Elysia {
  return toElysia(options, [
    ...healthRoutes({ ...options, isOperator: () => true }),
    ...toAdminConsoleRoutes(options),
  ])
}

function toElysia(options: AppOptions, routes: readonly Route[]): Elysia {
  const methods = createMethodTable()
  const app = new Elysia({ name: 'spillway', handler: anyHostname }).onError(
    { as: 'global' },
    createErrorReply(options.refuse, methods.of),
  )
  for (const [allowed, paths, handler] of routes) {
    for (const path of paths) {
      if (allowed.includes('GET')) app.get(path, handler, raw)
      if (allowed.includes('POST')) app.post(path, handler, raw)
      methods.add(path, allowed.split(' '))
    }
  }
  return app as unknown as Elysia
}

/** Elysia assumes a host of at least four letters: with its default, `http://app/e` would match no route. */
export const anyHostname = { standardHostname: false }

type AppOptions = ConsoleAccess & {
  contracts: Contracts
  respond: Respond
  answer: Answer
  boot: PosthogBoot
  /** Undefined without POSTHOG_JS_DIR. */
  scripts: Scripts | undefined
  refuse: Refuse
  isOperator: IsOperator
  trace: Trace
  health: Health
  metrics(): Promise<{ type: string; text: string }>
  platform: {
    auth: Pick<Auth, 'token' | 'refresh' | 'verify' | 'revoke' | 'jwks' | 'metadata'>
    sdk: SdkConfig
    isForwardedTls: IsForwardedTls
    health: PlatformHealth
  }
}

type Contracts = {
  // biome-ignore lint/suspicious/noExplicitAny: each contract has its own type of submission.
  [name in 'capture' | 'captureV1' | 'recording' | 'link' | 'report' | 'telemetry']: Contract<any>
}

type RouteContext = Context & { params: Record<string, string> }
type Handler = (context: RouteContext) => Response | Promise<Response>
type EventHandler = (context: Context) => Response | Promise<Response>
type Route<H = Handler> = readonly ['GET' | 'POST' | 'GET POST', readonly string[], H]

/** Elysia does not parse a body: the pipeline decodes it, within its bounds. */
const raw = { parse: 'none' } as const

const withSlash = (...paths: string[]) => paths.flatMap((path) => [path, `${path}/`])

/** A host setting that ends with a slash makes clients send `//batch/`. */
const withSlashes = (...paths: string[]) =>
  withSlash(...paths).flatMap((path) => [path, `/${path}`])

/**
 * Every contract that takes events. PostHog-compatible capture takes GET, too. Each handler destructures its context in
 * its parameters, because Elysia reads the source of a handler to learn which parts of the context it must build.
 */
function eventRoutes({ contracts, respond }: AppOptions): Route<EventHandler>[] {
  const { capture, captureV1, recording, link, report, telemetry } = contracts
  return [
    [
      'GET POST',
      withSlashes('/e', '/engage', '/track', '/i/v0/e', '/capture', '/batch'),
      ({ request, server }) => respond(capture, { request, server }),
    ],
    [
      'POST',
      withSlash('/i/v1/analytics/events'),
      ({ request, server }) => respond(captureV1, { request, server }),
    ],
    [
      'GET POST',
      withSlashes('/s', '/capture/recording'),
      ({ request, server }) => respond(recording, { request, server }),
    ],
    ['POST', ['/api/events/track'], ({ request, server }) => respond(link, { request, server })],
    [
      'POST',
      ['/users/report/events', '/v2/users/report/events'],
      ({ request, server }) => respond(report, { request, server }),
    ],
    [
      'POST',
      ['/api/telemetry/events'],
      ({ request, server }) => respond(telemetry, { request, server }),
    ],
  ]
}

/** Readiness: whether the server accepts events. Liveness: whether it needs a restart. */
function healthRoutes({ answer, health, metrics, isOperator }: AppOptions): Route[] {
  const isByOperator = ({ request, server }: Context) =>
    isOperator(request, toPeer(request, server))
  return [
    [
      'GET',
      ['/', ...withSlash('/_readiness', '/health')],
      ({ request, server }) =>
        answer(probe, { request, server }, () =>
          health.readiness(isByOperator({ request, server })),
        ),
    ],
    [
      'GET',
      withSlash('/_liveness'),
      ({ request, server }) => answer(probe, { request, server }, () => health.liveness()),
    ],
    [
      'GET',
      ['/metrics'],
      ({ request, server }) =>
        answer(probe, { request, server }, () =>
          isByOperator({ request, server }) ? toMetricsReply(metrics) : operatorsOnly,
        ),
    ],
  ]
}

async function toMetricsReply(metrics: AppOptions['metrics']): Promise<Reply> {
  const { type, text } = await metrics()
  return { status: 200, body: text, headers: { 'content-type': type, 'cache-control': 'no-store' } }
}

const operatorsOnly = toRequestFault(
  'operators_only',
  'ask from the server’s own machine, send ADMIN_TOKEN as bearer token, or use ADMIN_PORT',
)

/** The routes of the BMT platform SDK beside telemetry: tokens, configuration and health. */
function platformRoutes({ platform, answer }: AppOptions): Route[] {
  const { auth, sdk, health, isForwardedTls } = platform
  const isByTls = ({ request, server }: Context) => isForwardedTls(request, toPeer(request, server))
  return [
    [
      'POST',
      ['/api/auth/token'],
      ({ request, server }) => answer('auth', { request, server }, (ip) => auth.token(request, ip)),
    ],
    [
      'POST',
      ['/api/auth/refresh'],
      ({ request, server }) =>
        answer('auth', { request, server }, (ip) => auth.refresh(request, ip)),
    ],
    [
      'POST',
      ['/api/auth/revoke'],
      ({ request, server }) =>
        answer('auth', { request, server }, (ip) => auth.revoke(request, ip)),
    ],
    [
      'GET',
      ['/api/auth/verify'],
      ({ request, server }) =>
        answer('auth', { request, server }, (ip) => auth.verify(request, ip)),
    ],
    [
      'GET',
      ['/.well-known/jwks.json'],
      ({ request, server }) => answer('auth', { request, server }, () => auth.jwks()),
    ],
    [
      'GET',
      ['/.well-known/oauth-authorization-server'],
      ({ request, server }) =>
        answer('auth', { request, server }, () =>
          auth.metadata(request, isByTls({ request, server })),
        ),
    ],
    [
      'GET',
      ['/api/sdk/config'],
      ({ request, server }) =>
        answer('sdk', { request, server }, () => sdk.reply(request, isByTls({ request, server }))),
    ],
    [
      'GET',
      ['/api/health'],
      ({ request, server }) => answer('health', { request, server }, () => health()),
    ],
  ]
}

/** PostHog's SDKs fetch these before their first event. */
function sdkRoutes({ answer, trace, boot, scripts }: AppOptions): Route[] {
  return [
    [
      'GET',
      ['/array/:token/config.js'],
      ({ request, server, params }) =>
        answer('boot', { request, server }, () => boot.toConfigScript(params.token ?? '')),
    ],
    [
      'GET',
      ['/array/:token/config'],
      ({ request, server, params }) =>
        answer('boot', { request, server }, () => boot.toConfig(params.token ?? '')),
    ],
    [
      'GET POST',
      withSlash('/flags', '/decide'),
      ({ request, server }) =>
        answer('boot', { request, server }, () => boot.toFlags(Bun.randomUUIDv7())),
    ],
    [
      'GET',
      withSlash('/flags/definitions', '/api/feature_flag/local_evaluation'),
      ({ request, server }) => answer('boot', { request, server }, () => boot.flagDefinitions),
    ],
    ...(scripts ? [scriptRoute(scripts, trace)] : []),
  ]
}

const scriptRoute = (scripts: Scripts, trace: Trace): Route => [
  'GET',
  ['/static/*'],
  ({ request, server, params }) =>
    trace({ request, server }, scripts.respond(request, params['*'] ?? '')),
]

type Failure = Context & { code: string | number; error: unknown }

/**
 * The reply where no contract answered: an unknown route, an unsupported method, or a fault outside the pipeline.
 * `methodsOf` returns the methods of a path without a trailing slash.
 */
function createErrorReply(refuse: Refuse, methodsOf: (path: string) => readonly string[]) {
  return ({ code, error, request, server }: Failure): Response => {
    const methods = code === 'NOT_FOUND' ? methodsOf(parseTarget(request.url).path) : []
    const reply = toErrorReply(methods.length > 0 ? 'NOT_ALLOWED' : code, error)
    if (methods.length > 0) reply.headers = { allow: [...methods, 'OPTIONS'].join(', ') }
    return refuse({ request, server }, reply)
  }
}

function toErrorReply(code: string | number, error: unknown): Reply {
  if (error instanceof IngestError) return toRequestFault(error.code, error.message)
  if (code === 'NOT_FOUND') return toRequestFault('not_found', 'there is no such route')
  if (code === 'NOT_ALLOWED')
    return toRequestFault('method_not_allowed', 'the route does not take this method')
  return toRequestFault('internal_error', 'the server failed')
}
