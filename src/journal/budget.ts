import { IngestError } from '../core/errors.ts'

/** Encoded and not yet written. More than this accumulates only if the disk is too slow. */
const pendingBytesMax = 256 * 1024 * 1024
/** The journal is full when a typical request of about fifty events no longer fits. */
const typicalRequestBytes = 192 * 1024
/** The headers of a segment and of its first frames. */
const overheadBytes = 2 * 1024

/** Space promised to a request before it is accepted. A second `release` does nothing. */
export type Reservation = { release(): void }

export type Budget = {
  /**
   * Throws `journal_full` with `retryAfterSeconds` if `bytes` would exceed the budget, or if the
   * disk is full.
   */
  reserve(bytes: number): Reservation
  readonly isFull: boolean
}

/** The journal's current use of its disk, in bytes. */
export type Usage = {
  /** Length of all files, prepared space included. */
  fileBytes(): number
  /** The part of it that is prepared for further frames. */
  spaceBytes(): number
  pendingBytes(): number
  /** The last attempt to create a segment failed for lack of disk space. */
  isDiskFull(): boolean
}

export function createBudget({ bytesMax, usage }: { bytesMax: number; usage: Usage }): Budget {
  let reservedBytes = 0

  function fits(bytes: number): boolean {
    const pendingBytes = usage.pendingBytes()
    const claimedBytes = Math.max(reservedBytes, pendingBytes) + bytes
    const beyondSpace = Math.max(0, claimedBytes - usage.spaceBytes())
    if (pendingBytes > pendingBytesMax) return false
    if (beyondSpace === 0) return true
    if (usage.isDiskFull()) return false
    return usage.fileBytes() + beyondSpace + overheadBytes <= bytesMax
  }

  return {
    get isFull() {
      return !fits(typicalRequestBytes)
    },
    reserve(bytes) {
      if (!fits(bytes))
        throw new IngestError('journal_full', 'The journal is full.', { retryAfterSeconds: 1 })
      reservedBytes += bytes
      let heldBytes = bytes
      return {
        release() {
          reservedBytes -= heldBytes
          heldBytes = 0
        },
      }
    },
  }
}
