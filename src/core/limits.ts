/** Bounds that the wire contracts fix (spec README). Those an operator may change are in config.ts. */

/** A request body, on the wire and after decompression. */
export const bodyBytesMax = 20 * 1024 * 1024
/** The same for recordings. */
export const recordingBodyBytesMax = 25 * 1024 * 1024
/** One event of a capture batch, as JSON. */
export const eventBytesMax = 2 * 1024 * 1024
/** Deeper JSON than this is refused: nobody sends it, and recursion must stay bounded. */
export const nestingMax = 200
export const eventNameLengthMax = 200
export const distinctIdLengthMax = 200
export const tokenBytesMax = 64
export const sessionIdLengthMax = 70
/** A dead letter keeps this much of what was sent. */
export const deadLetterRawBytesMax = 16 * 1024
