import type { DedupKey } from '../../core/event.ts'
import { toDerivedUuid } from './event-id.ts'

export type Identified = { dedupKey: DedupKey; uuid: string }

/**
 * The marker and the uuid (version 5, RFC 9562) of what `parts` name: a contract, a project, an id. Both are
 * of one hash, and JSON keeps the parts apart, so that no two lists of parts look alike.
 */
export function identify(parts: readonly (string | number)[]): Identified {
  const dedupKey = Bun.SHA1.hash(namespace + JSON.stringify(parts), 'hex').slice(0, 32)
  return { dedupKey, uuid: toDerivedUuid(dedupKey) }
}

/** The 16 bytes of 7370696c-6c77-6179-2d65-76656e747321, which are ASCII: a string hashes like them. */
const namespace = 'spillway-events!'
