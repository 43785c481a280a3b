import { BlockList, isIP } from 'node:net'

/** The client's address. `peer` is the other end of the connection. */
export type ClientIp = (request: Request, peer: string) => string

export type IsForwardedTls = (request: Request, peer: string) => boolean

/**
 * The client is the peer. If the peer is a trusted proxy, the client is the last hop of X-Forwarded-For that is not
 * trusted: any client can forge the hops before it. `trusted` holds addresses and CIDR ranges.
 */
export function createClientIp(trusted: readonly string[]): ClientIp {
  const isTrusted = createIsTrusted(trusted)

  return (request, peer) => {
    const direct = toPlainIp(peer)
    if (!isTrusted(direct)) return direct
    const hops = request.headers.get('x-forwarded-for')?.split(',') ?? []
    let client = direct
    for (const hop of hops.reverse()) {
      const ip = toPlainIp(hop.trim())
      if (isIP(ip) === 0) return client
      client = ip
      if (!isTrusted(ip)) return client
    }
    return client
  }
}

/** Whether a trusted proxy received the request over TLS. X-Forwarded-Proto of any other peer is ignored. */
export function createIsForwardedTls(trusted: readonly string[]): IsForwardedTls {
  const isTrusted = createIsTrusted(trusted)
  return (request, peer) => request.headers.get('x-forwarded-proto') === 'https' && isTrusted(peer)
}

function createIsTrusted(trusted: readonly string[]): (address: string) => boolean {
  const proxies = toBlockList(trusted)
  return (address) => {
    if (trusted.length === 0) return false
    const ip = toPlainIp(address)
    return proxies.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4')
  }
}

/** Removes the brackets of an IPv6 address and the prefix of an IPv4 address that came over an IPv6 socket. */
function toPlainIp(address: string): string {
  const bare = address.startsWith('[') ? address.slice(1, address.indexOf(']')) : address
  return bare.startsWith('::ffff:') && bare.includes('.') ? bare.slice(7) : bare
}

function toBlockList(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', prefix] = entry.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return list
}
