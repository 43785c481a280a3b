import { createIsTrusted } from './client-ip.ts'

export type IsForwardedTls = (request: Request, peer: string) => boolean

/** Whether a trusted proxy took a request by TLS. What anyone else says in X-Forwarded-Proto is not believed. */
export function createIsForwardedTls(trusted: readonly string[]): IsForwardedTls {
  const isTrusted = createIsTrusted(trusted)
  return (request, peer) => request.headers.get('x-forwarded-proto') === 'https' && isTrusted(peer)
}
