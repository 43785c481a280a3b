import { type IsConsoleUser, isConsoleUserOfAdminPort } from './operators.ts'
import { type Context, type Trace, toPeer } from './respond.ts'

export type ConsoleAccess = {
  isConsoleUser: IsConsoleUser
  /** Answers the requests below `/console/api/` of those who may use the console. */
  console(request: Request): Promise<Response>
}

type RouteOptions = ConsoleAccess & { trace: Trace }

/** Strangers get the same reply for every path, so they do not learn which ones exist. */
export function toConsoleRoute({ isConsoleUser, console, trace }: RouteOptions) {
  const reply = async ({ request, server }: Context) =>
    (await isConsoleUser(request, toPeer(request, server))) ? console(request) : toLocked()
  const handler = ({ request, server }: Context) =>
    trace({ request, server }, reply({ request, server }))
  return ['GET POST', ['/console/api/*'], handler] as const
}

export const toAdminConsoleRoute = (options: RouteOptions) =>
  toConsoleRoute({ ...options, isConsoleUser: isConsoleUserOfAdminPort })

const toLocked = () =>
  Response.json(
    {
      ...{ code: 0, status: 'error', error: 'console_locked' },
      detail:
        'send ADMIN_TOKEN, or a token with the permission console, as bearer token; or use ADMIN_PORT',
    },
    { status: 401, headers: { 'cache-control': 'no-store', 'www-authenticate': 'Bearer' } },
  )
