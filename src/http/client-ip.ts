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
    return findClient(request, isTrusted)?.ip ?? direct
  }
}

/**
 * Whether a trusted proxy received the request from the client over TLS. Each proxy of a chain may append to
 * X-Forwarded-Proto, as it does to X-Forwarded-For: `https, http`. X-Forwarded-Proto of any other peer is ignored.
 */
export function createIsForwardedTls(trusted: readonly string[]): IsForwardedTls {
  const isTrusted = createIsTrusted(trusted)
  return (request, peer) => {
    const written = request.headers.get('x-forwarded-proto')
    if (written === null || !isTrusted(peer)) return false
    const protos = written.split(',')
    const hopsAfter = findClient(request, isTrusted)?.hopsAfter ?? 0
    // A proxy that replaces the header leaves fewer entries than hops: its entry is then the first one.
    const proto = protos[Math.max(0, protos.length - 1 - hopsAfter)]
    return proto?.trim().toLowerCase() === 'https'
  }
}

export function createIsTrusted(trusted: readonly string[]): (address: string) => boolean {
  const proxies = toBlockList(trusted)
  return (address) => {
    if (trusted.length === 0) return false
    const ip = toPlainIp(address)
    return proxies.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4')
  }
}

/** `hopsAfter`: the number of proxies in the header behind the client. */
function findClient(request: Request, isTrusted: (ip: string) => boolean) {
  const hops = request.headers.get('x-forwarded-for')?.split(',') ?? []
  let client: { ip: string; hopsAfter: number } | undefined
  for (const hop of hops.reverse()) {
    const ip = toPlainIp(withoutPort(hop.trim()))
    if (isIP(ip) === 0) return client
    client = { ip, hopsAfter: client ? client.hopsAfter + 1 : 0 }
    if (!isTrusted(ip)) return client
  }
  return client
}

/** Some proxies write `198.51.100.7:51234` or `[2001:db8::7]:51234`. */
function withoutPort(hop: string): string {
  const colon = hop.indexOf(':')
  const isIPv4 = colon > 0 && colon === hop.lastIndexOf(':')
  return isIPv4 && /^\d{1,5}$/.test(hop.slice(colon + 1)) ? hop.slice(0, colon) : hop
}

/** Removes the brackets of an IPv6 address and the prefix of an IPv4 address that came over an IPv6 socket. */
export function toPlainIp(address: string): string {
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
