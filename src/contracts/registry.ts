import { type Config, intakeBytesOfLargest } from '../config/config.ts'
import type { Contract, ContractKey, Submission } from '../core/protocol.ts'
import { normaliseCapture } from './capture/normalise.ts'
import { captureProtocol, recordingProtocol } from './capture/protocol.ts'
import { normaliseRecording } from './capture/recording.ts'
import { captureV1 } from './capture/v1.ts'
import { normaliseLink } from './link/normalise.ts'
import { linkProtocol } from './link/protocol.ts'
import { normaliseReport } from './report/normalise.ts'
import { createReportProtocol } from './report/protocol.ts'
import { normaliseTelemetry } from './telemetry/normalise.ts'
import { createTelemetryProtocol } from './telemetry/protocol.ts'

/**
 * All wire contracts. To add one: its folder, a line here, a route in http/routes.ts, a source in
 * core/event.ts.
 */
export function createContracts({
  reportEventsMax,
  telemetryEventsMax,
  sizeShare = 1,
}: ContractLimits) {
  const report = createReportProtocol({ eventsMax: reportEventsMax })
  const telemetry = createTelemetryProtocol({ eventsMax: telemetryEventsMax })
  const contracts = {
    capture: toContract('capture', { ...captureProtocol, normalise: normaliseCapture }),
    captureV1: toContract('captureV1', captureV1),
    recording: toContract('recording', { ...recordingProtocol, normalise: normaliseRecording }),
    link: toContract('link', { ...linkProtocol, normalise: normaliseLink }),
    report: toContract('report', { ...report, normalise: normaliseReport }),
    telemetry: toContract('telemetry', { ...telemetry, normalise: normaliseTelemetry }),
  }
  for (const { decode } of Object.values(contracts)) {
    decode.bodyBytesMax = Math.floor(decode.bodyBytesMax * sizeShare)
    decode.sizeShare = sizeShare
  }
  return contracts
}

export type ContractLimits = {
  reportEventsMax: number
  telemetryEventsMax: number
  /** Of the usual bounds of a body. Default 1. */
  sizeShare?: number
}

/** With less memory for bodies than the largest one needs, bodies must be smaller. */
export function toContractLimits(config: Config): ContractLimits {
  return {
    reportEventsMax: config.REPORT_EVENTS_MAX,
    telemetryEventsMax: config.TELEMETRY_EVENTS_MAX,
    sizeShare: Math.min(1, config.INTAKE_BYTES_MAX / intakeBytesOfLargest),
  }
}

/** Lets the compiler check that protocol and normalisation use the same type of submission. */
function toContract<S extends Submission>(
  key: ContractKey,
  contract: Omit<Contract<S>, 'key'>,
): Contract<S> {
  return { ...contract, key, decode: { ...contract.decode } }
}
