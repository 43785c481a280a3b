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

/** One for each, in their order. */
export type FromInserter = {
  /** Transferred back, whatever became of the rows. */
  room: ArrayBuffer
  /** As the engine words it, with its code. */
  failure: { code: number; text: string } | undefined
}
