import type { Marker } from '../core/event.ts'

export type Identified = { marker: Marker; uuid: string }

/**
 * The marker and the uuid (version 5, RFC 9562) of what `parts` name: a contract, a project, an id. Both are
 * of one hash, and JSON keeps the parts apart, so that no two lists of parts look alike.
 */
export function identify(parts: readonly (string | number)[]): Identified {
  const hex = Bun.SHA1.hash(namespace + JSON.stringify(parts), 'hex')
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) & 3]!
  const start = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}`
  const uuid = `${start}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
  return { marker: hex.slice(0, 32), uuid }
}

/** The 16 bytes of 7370696c-6c77-6179-2d65-76656e747321, which are ASCII: a string hashes like them. */
const namespace = 'spillway-events!'
