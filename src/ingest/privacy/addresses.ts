import { isIP } from 'node:net'

/** A project keeps whole addresses, their networks, or none. */
export type AddressRule = 'keep' | 'truncate' | 'drop'

/** The address as the rule allows it. Another text is no address that could be truncated: it is empty. */
export function toKeptAddress(address: string, rule: AddressRule): string {
  if (rule === 'keep' || address === '') return address
  return rule === 'truncate' ? truncate(address) : ''
}

/** An IPv4 address without its last 8 bits, an IPv6 address without its last 80. */
function truncate(text: string): string {
  const [address = ''] = text.trim().split('%')
  const family = isIP(address)
  if (family === 4) return address.replace(/\d+$/, '0')
  if (family !== 6) return ''
  // The URL parser writes an IPv6 address in its shortest form.
  const { hostname } = new URL(`http://[${address}]/`)
  const [head = '', tail] = hostname.slice(1, -1).split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = new Array<string>(8 - before.length - after.length).fill('0')
  const groups = [...before, ...zeros, ...after]
  const isMapped = groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff'
  if (isMapped) return toMapped(groups[6]!, groups[7]!)
  const kept = groups.slice(0, 3)
  while (kept.at(-1) === '0') kept.pop()
  return `${kept.join(':')}::`
}

/** The IPv4 address in an IPv6 one. */
function toMapped(high: string, low: string): string {
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)]
  return `${a >> 8}.${a & 255}.${b >> 8}.0`
}
