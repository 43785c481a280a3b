import { IngestError } from '../core/errors.ts'

/** Encoded and not yet written: more than this only gathers when the disk cannot keep up. */
const pendingBytesMax = 256 * 1024 * 1024
/** The journal counts as full once a request of everyday size, some fifty events, finds no room. */
const typicalRequestBytes = 192 * 1024
/** Headers of a segment and of its first frames. */
const overheadBytes = 2 * 1024

/** Room promised to a request before it is accepted. Releasing it twice is harmless. */
export type Reservation = { release(): void }

export type Budget = {
  /**
   * Throws `journal_full`, with `retryAfterSeconds`, where `bytes` would exceed the budget or find
   * no disk.
   */
  reserve(bytes: number): Reservation
  readonly isFull: boolean
}

/** What the budget asks of the journal, in bytes. */
export type Usage = {
  /** What the files take. */
  fileBytes(): number
  /** Of which prepared for frames to come. */
  spaceBytes(): number
  pendingBytes(): number
  /** Whether the disk refuses to give another segment. */
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
