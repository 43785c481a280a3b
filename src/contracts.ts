import type { Contract, Submission } from './core/protocol.ts'
import { normaliseCapture } from './normalise/capture.ts'
import { normaliseLink } from './normalise/link.ts'
import { normaliseRecording } from './normalise/recording.ts'
import { normaliseReport } from './normalise/report.ts'
import { normaliseTelemetry } from './normalise/telemetry.ts'
import { captureProtocol, recordingProtocol } from './protocols/capture.ts'
import { linkProtocol } from './protocols/link.ts'
import { createReportProtocol } from './protocols/report.ts'
import { createTelemetryProtocol } from './protocols/telemetry.ts'

/** The wire contracts: each one's words and its way to canonical events. */
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
    recording: toContract({ ...recordingProtocol, normalise: normaliseRecording }),
    link: toContract({ ...linkProtocol, normalise: normaliseLink }),
    report: toContract({ ...report, normalise: normaliseReport }),
    telemetry: toContract({ ...telemetry, normalise: normaliseTelemetry }),
  }
}

/** Only the compiler needs it: a protocol and its normalisation must speak of the same submission. */
const toContract = <S extends Submission>(contract: Contract<S>): Contract<S> => contract
