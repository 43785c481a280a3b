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
export function createIsOperator({ token, trustedProxies }: OperatorOptions): IsOperator {
  const isTrustedProxy = createIsTrusted(trustedProxies)
  const digest = token === undefined ? undefined : toDigest(token)
  return (request, peer) => {
    const { headers } = request
    const [, sent] = /^bearer +(\S+)$/i.exec(headers.get('authorization') ?? '') ?? []
    if (digest && sent !== undefined && timingSafeEqual(digest, toDigest(sent))) return true
    if (!loopback.test(toPlainIp(peer)) || isTrustedProxy(peer)) return false
    return localHost.test(headers.get('host') ?? '') && !foreign.some((name) => headers.has(name))
  }
}

type OperatorOptions = { token: string | undefined; trustedProxies: readonly string[] }

const toDigest = (text: string) => createHash('sha256').update(text).digest()

const loopback = /^127\.|^::1$/
const localHost = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/** Headers of proxies, and of pages of other origins. */
const foreign = [
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'forwarded',
  'via',
  'origin',
]
