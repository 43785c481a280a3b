import { parseTarget } from './incoming.ts'
import type { IsConsoleUser } from './operators.ts'
import { type Context, type Trace, toPeer } from './respond.ts'

export type ConsoleAccess = {
  isConsoleUser: IsConsoleUser
  isAdminPortUser: IsConsoleUser
  /** Answers the requests below `/console/api/` of those who may use the console. */
  console(request: Request): Promise<Response>
  /** Answers with a file of the console's page. */
  consolePage(request: Request, name: string): Promise<Response>
}

type RouteOptions = ConsoleAccess & { trace: Trace }

/** The page itself holds no data, so everybody may read it: it has to ask for the token. */
export function toConsoleRoutes({ isConsoleUser, console, consolePage, trace }: RouteOptions) {
  // Strangers get the same reply for every path, so they do not learn which ones exist.
  const reply = async ({ request, server }: Context) =>
    (await isConsoleUser(request, toPeer(request, server))) ? console(request) : toLocked()
  const data = ({ request, server }: Context) =>
    trace({ request, server }, reply({ request, server }))
  const page = ({ request, server }: Context) => {
    const name = parseTarget(request.url).path.replace(/^\/console\/?/, '')
    return trace({ request, server }, consolePage(request, name))
  }
  return [['GET POST', ['/console/api/*'], data] as const, ['GET', pagePaths, page] as const]
}

const pagePaths = ['/console', '/console/', '/console/page.js', '/console/page.css']

export const toAdminConsoleRoutes = (options: RouteOptions) =>
  toConsoleRoutes({ ...options, isConsoleUser: options.isAdminPortUser })

const toLocked = () =>
  Response.json(
    {
      ...{ code: 0, status: 'error', error: 'console_locked' },
      detail:
        'send ADMIN_TOKEN, or a token with the permission console, as bearer token; or use ADMIN_PORT',
    },
    { status: 401, headers: { 'cache-control': 'no-store', 'www-authenticate': 'Bearer' } },
  )
