/** Rows to insert: `length` bytes of `room`, which is transferred, from `offset` on. */
export type ToInserter = {
  /** The engine's folder. */
  path: string
  /** An INSERT that ends before FORMAT. */
  statement: string
  room: ArrayBuffer
  offset: number
  length: number
}

/** One for each, in their order: what `countWriteFailures` says behind the insert, or the engine's refusal. */
export type FromInserter = {
  /** Transferred back, whatever became of the rows. */
  room: ArrayBuffer
  outcome: { writeFailures: number } | { code: number; text: string }
}
