import { createHash, timingSafeEqual } from 'node:crypto'
import { createIsTrusted, toPlainIp } from './client-ip.ts'

/** Whether a request may read metrics and the details of health. */
export type IsOperator = (request: Request, peer: string) => boolean

/**
 * An operator sends `Authorization: Bearer` with ADMIN_TOKEN, or asks from this machine. Requests
 * that a proxy on this machine passes on come from loopback, too: they carry a header of a proxy, or
 * come from an address of TRUSTED_PROXIES. A page in a browser on this machine is no operator: its
 * requests have an Origin, or, after DNS rebinding, another host.
 */
export function createIsOperator(options: OperatorOptions): IsOperator {
  const hasToken = createHasToken(options)
  const isFromHere = createIsFromHere(options)
  return (request, peer) =>
    hasToken(request) || (isFromHere(request, peer) && !request.headers.has('origin'))
}

type OperatorOptions = { token: string | undefined; trustedProxies: readonly string[] }

/** Whether a request may use the console. */
export type IsConsoleUser = (request: Request, peer: string) => boolean | Promise<boolean>

/**
 * As operators, with three differences. The console's own page sends an Origin, so the page's own
 * origin is allowed, and no other one whatever token it has. In production loopback is not enough,
 * because the console changes data. A token with the permission `console` is as good as ADMIN_TOKEN.
 */
export function createIsConsoleUser({
  isProduction,
  hasPermission,
  ...options
}: ConsoleUserOptions): IsConsoleUser {
  const hasToken = createHasToken(options)
  const isFromHere = createIsFromHere(options)
  return (request, peer) => {
    if (!isOfOwnPage(request)) return false
    if (hasToken(request) || (!isProduction && isFromHere(request, peer))) return true
    const sent = request.headers.get('authorization')
    return sent !== null && hasPermission(sent)
  }
}

type ConsoleUserOptions = OperatorOptions & {
  isProduction: boolean
  /** Whether an access token, as `Bearer <token>`, has the permission `console`. */
  hasPermission(authorization: string): boolean | Promise<boolean>
}

/**
 * A client that reaches ADMIN_PORT is an operator. A page of another origin in an operator's browser is not.
 * A page of the internet whose name is made to point to this port (DNS rebinding) has its own origin
 * there, so a public name other than that of PUBLIC_URL needs ADMIN_TOKEN, which no page has.
 */
export function createIsAdminPortUser({
  publicUrl,
  token,
}: Pick<OperatorOptions, 'token'> & { publicUrl: string | undefined }): IsConsoleUser {
  const hasToken = createHasToken({ token })
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname
  return (request) => {
    if (!isOfOwnPage(request)) return false
    const host = (request.headers.get('host') ?? '').replace(/:\d+$/, '').toLowerCase()
    return privateHost.test(host) || host === publicHost || hasToken(request)
  }
}

/** An address, or a name without a dot. */
const privateHost = /^(?:\[[\da-f:.]+\]|\d{1,3}(?:\.\d{1,3}){3}|[a-z\d_-]+)$/

function isOfOwnPage({ headers }: Request): boolean {
  const origin = headers.get('origin')
  if (origin !== null && origin.replace(/^https?:\/\//, '') !== headers.get('host')) return false
  // An image or a frame of another page sends no Origin. It could not read the reply, but its
  // requests would take the places of readers. `none`: a person typed the address.
  const site = headers.get('sec-fetch-site')
  return site === null || site === 'same-origin' || site === 'none'
}

function createHasToken({ token }: Pick<OperatorOptions, 'token'>) {
  const digest = token === undefined ? undefined : toDigest(token)
  return ({ headers }: Request): boolean => {
    const [, sent] = /^bearer +(\S+)$/i.exec(headers.get('authorization') ?? '') ?? []
    return digest !== undefined && sent !== undefined && timingSafeEqual(digest, toDigest(sent))
  }
}

/** Asked by a program or a page of this machine, and not passed on by a proxy. */
function createIsFromHere({ trustedProxies }: OperatorOptions): IsOperator {
  const isTrustedProxy = createIsTrusted(trustedProxies)
  return ({ headers }, peer) =>
    loopback.test(toPlainIp(peer)) &&
    !isTrustedProxy(peer) &&
    localHost.test(headers.get('host') ?? '') &&
    !foreign.some((name) => headers.has(name))
}

const toDigest = (text: string) => createHash('sha256').update(text).digest()

const loopback = /^127\.|^::1$/
const localHost = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/** Headers of proxies. */
const foreign = [
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'forwarded',
  'via',
]
