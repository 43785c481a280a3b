import type { IngestError } from '../../core/errors.ts'
import { cutText } from './text.ts'

/**
 * The `Retry-After` header in seconds, for the errors that a retry can solve (429 and 503). Else no
 * header.
 */
export function toRetryAfter({ status, details }: IngestError): Record<string, string> {
  if (status !== 429 && status !== 503) return {}
  const seconds = Math.ceil(details.retryAfterSeconds ?? retryAfterSecondsDefault)
  return { 'retry-after': String(Math.max(1, seconds)) }
}

/**
 * The value of a header, cut at `charactersMax` (1,024 by default); empty if the request has none.
 * Clients send bytes: UTF-8 where they are valid UTF-8, else Latin-1.
 */
export function toHeaderText(
  headers: Headers,
  name: string,
  charactersMax = headerCharactersMax,
): string {
  return cutText(decodeHeader(headers.get(name) ?? ''), charactersMax)
}

/** `Headers` gives each byte as one character. Plain ASCII, which nearly all headers are, is not copied. */
function decodeHeader(value: string): string {
  if (!beyondAscii.test(value)) return value
  try {
    return utf8.decode(Buffer.from(value, 'latin1'))
  } catch {
    return value
  }
}

const beyondAscii = /[\x80-\xff]/
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A group commit or a burst is over by then. */
const retryAfterSecondsDefault = 5

/** Every row of a request repeats its headers. No browser sends a longer `User-Agent`. */
const headerCharactersMax = 1024
