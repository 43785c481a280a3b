/**
 * Why a request is refused: it did not come to, or from, this machine under its own name. A page that a browser has
 * open may send requests here under a foreign name (DNS rebinding) or from a foreign origin.
 */
export function toForeignReason(headers: Headers): string | undefined {
  const host = headers.get('host')
  if (host === null || !isLocal(host)) return `Host ${host ?? '(none)'} is not local`
  const origin = headers.get('origin')
  if (origin !== null && !isLocal(origin.replace(/^https?:\/\//, '')))
    return `Origin ${origin} is not local`
  if (headers.get('sec-fetch-site') === 'cross-site') return 'The request crosses sites'
  return undefined
}

const isLocal = (authority: string) =>
  /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(authority)
