import type { ErrorCode } from '../core/errors.ts'
import type { ProtocolName } from '../core/protocol.ts'

/** The balance sheet of the intake, by contract. All counts are events. */
export type Sheet = {
  received: number
  /** On disk. At a quiet moment all of them are accepted. */
  committed: number
  accepted: number
  duplicate: number
  /** Dropped as the contract says, silently. */
  dropped: number
  quotaDropped: number
  overflowed: number
  /** By error code, whether the event alone or its whole request was refused. */
  rejected: Partial<Record<ErrorCode, number>>
}

export type Settlement = {
  accepted: number
  duplicates: number
  dropped: number
  quotaDropped: number
  diverted: number
  rejections: readonly { code: ErrorCode }[]
}

export type Meter = {
  committed(protocol: ProtocolName, events: number): void
  settled(protocol: ProtocolName, settlement: Settlement): void
  refused(protocol: ProtocolName, events: number, code: ErrorCode): void
  sheets: Readonly<Record<ProtocolName, Sheet>>
}

/**
 * Plain numbers on the hot path; `metrics.ts` reads them when it is asked. An event is received when its fate is
 * settled, so at every moment received = accepted + rejected + dropped + quotaDropped + duplicate.
 * Snapshots that were merged into one recording count as one.
 */
export function createMeter(): Meter {
  const sheets = { capture: toSheet(), link: toSheet(), report: toSheet(), telemetry: toSheet() }

  function settled(protocol: ProtocolName, settlement: Settlement): void {
    const sheet = sheets[protocol]
    const { accepted, duplicates, dropped, quotaDropped, diverted, rejections } = settlement
    sheet.received += accepted + duplicates + dropped + quotaDropped + rejections.length
    sheet.accepted += accepted
    sheet.duplicate += duplicates
    sheet.dropped += dropped
    sheet.quotaDropped += quotaDropped
    sheet.overflowed += diverted
    for (const { code } of rejections) reject(sheet, 1, code)
  }

  function committed(protocol: ProtocolName, events: number): void {
    sheets[protocol].committed += events
  }

  function refused(protocol: ProtocolName, events: number, code: ErrorCode): void {
    sheets[protocol].received += events
    reject(sheets[protocol], events, code)
  }
  return { committed, settled, refused, sheets }
}

const toSheet = (): Sheet => ({
  received: 0,
  committed: 0,
  accepted: 0,
  duplicate: 0,
  dropped: 0,
  quotaDropped: 0,
  overflowed: 0,
  rejected: {},
})

function reject(sheet: Sheet, events: number, code: ErrorCode): void {
  sheet.rejected[code] = (sheet.rejected[code] ?? 0) + events
}
