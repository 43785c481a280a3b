import type { Contract, Submission } from '../core/protocol.ts'
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
}: {
  reportEventsMax: number
  telemetryEventsMax: number
}) {
  const report = createReportProtocol({ eventsMax: reportEventsMax })
  const telemetry = createTelemetryProtocol({ eventsMax: telemetryEventsMax })
  return {
    capture: toContract({ ...captureProtocol, normalise: normaliseCapture }),
    captureV1,
    recording: toContract({ ...recordingProtocol, normalise: normaliseRecording }),
    link: toContract({ ...linkProtocol, normalise: normaliseLink }),
    report: toContract({ ...report, normalise: normaliseReport }),
    telemetry: toContract({ ...telemetry, normalise: normaliseTelemetry }),
  }
}

/** Lets the compiler check that protocol and normalisation use the same type of submission. */
const toContract = <S extends Submission>(contract: Contract<S>): Contract<S> => contract
