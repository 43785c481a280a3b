import type { CodeCounts, EventFault, RequestFault } from '../../core/errors.ts'
import type { Rejection } from '../../core/event.ts'
import { deadLettersMax } from '../../core/limits.ts'
import type { Normalised } from '../../core/protocol.ts'

/**
 * The result of a request that its contract refuses as a whole: each event is rejected for its own
 * first fault, else with the request. Lists the first 100 and counts the others, as for a batch.
 */
export function refuseAll(
  raws: readonly unknown[],
  refusal: RequestFault,
  faults: readonly EventFault[] = [],
): Normalised {
  const { code, message } = refusal
  const whole = { code, message: `refused with its request: ${message}` }
  const firsts = new Map<number, EventFault>()
  for (const fault of faults) if (!firsts.has(fault.index)) firsts.set(fault.index, fault)
  const only = raws.length === 1 ? { code, message } : whole
  const rejections: Rejection[] = []
  let moreRejected: CodeCounts | undefined
  for (const [index, raw] of raws.entries()) {
    const fault = firsts.get(index) ?? only
    if (rejections.length < deadLettersMax) rejections.push({ ...fault, index, raw })
    else {
      moreRejected ??= {}
      moreRejected[fault.code] = (moreRejected[fault.code] ?? 0) + 1
    }
  }
  return { events: [], rejections, moreRejected, refusal, dropped: 0 }
}
