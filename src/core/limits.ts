/**
 * Limits that the wire contracts fix (docs/contracts/). Limits that an operator may change are in
 * config/config.ts.
 */

/** A request body, on the wire and after decompression. */
export const bodyBytesMax = 20 * 1024 * 1024
/** The same for recordings. */
export const recordingBodyBytesMax = 25 * 1024 * 1024
/** One event of a capture batch, as JSON. */
export const eventBytesMax = 2 * 1024 * 1024
/** Levels of nested JSON. No known client comes near it, and it bounds recursion. */
export const nestingMax = 200
/** In characters (code points). */
export const eventNameLengthMax = 200
export const distinctIdLengthMax = 200
export const sessionIdLengthMax = 70
/**
 * In characters: texts that are part of a sorting key, a dictionary (LowCardinality), a Kafka key or
 * a Kafka header. A longer one would cost memory in each insert and merge.
 */
export const shortTextLengthMax = 200
/** In bytes of UTF-8: every other column with a type of its own. */
export const columnBytesMax = 8 * 1024
/** Dead letters of one request, and entries of `rejected` in a reply. One more counts the rest. */
export const deadLettersMax = 100
/** A dead letter keeps this many bytes of the rejected event. */
export const deadLetterRawBytesMax = 16 * 1024
