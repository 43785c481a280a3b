import type { IngestError } from '../../core/errors.ts'

/** The header that tells a client when to try again, in seconds; empty where trying again makes no sense. */
export function toRetryAfter({ status, details }: IngestError): Record<string, string> {
  if (status !== 429 && status !== 503) return {}
  return { 'retry-after': String(Math.max(1, Math.ceil(details.retryAfterSeconds ?? fallback))) }
}

/** Long enough for a group commit or a burst to be over. */
const fallback = 5
