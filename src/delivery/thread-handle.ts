import type { CommittedBlock } from '../core/record.ts'
import { startThread } from '../core/worker-thread.ts'
import type { FromThread, ShippersThread, ThreadOptions, ToThread } from './thread-messages.ts'

/** One life of the shippers' thread. */
export type ThreadHandle = {
  /**
   * Hands a block over, or, while too much of it is under way, where it ends: the thread then reads
   * the journal.
   */
  push(block: CommittedBlock): void
  post(message: Exclude<ToThread, { type: 'blocks' }>): void
  /** Handed over and not yet taken. */
  transitBytes(): number
  /**
   * Ends a thread that has closed its parts. One that has not is left alone, and does not keep the
   * process alive.
   */
  end(hasClosed: boolean): void
}

export type ThreadHandleOptions = {
  options: Omit<ThreadOptions, 'takenBytes'>
  /** The thread runs; `cursors` holds the cursor of each sink. */
  onStarted(cursors: ShippersThread['ready']): void
  onMessage(message: FromThread): void
  /** The thread ended or refused to start. `error` is its last error, in words for the operator. */
  onEnd(error: string | undefined): void
}

/** A bound that the 32 bits of the shared counter can hold. */
const transitBytesMax = 1024 * 1024 * 1024
/** Blocks go over in parcels: a message wakes the other thread, whatever it holds. */
const parcel = { bytesMax: 256 * 1024, msMax: 5 }

export function startShippersThread({
  options,
  onStarted,
  onMessage,
  onEnd,
}: ThreadHandleOptions): ThreadHandle {
  const takenBytes = new SharedArrayBuffer(4)
  const taken = new Int32Array(takenBytes)
  const bytesMax = Math.min(options.ringBytesMax, transitBytesMax)
  const thread = startThread<ShippersThread>({
    script: new URL('./thread.ts', import.meta.url).href,
    options: { ...options, takenBytes },
    onMessage,
    onEnd,
  })
  thread.ready.then(onStarted, () => {}) // A rejection reaches `onEnd` too.
  let sent = 0
  let packed: CommittedBlock[] = []
  let packedBytes = 0
  let timer: Timer | undefined
  // Both counters wrap around alike.
  const transitBytes = () => (sent - Atomics.load(taken, 0)) | 0

  function push(block: CommittedBlock): void {
    const bytes = block.bytes.byteLength
    if (transitBytes() + bytes > bytesMax) {
      post({ type: 'skipped', endOffset: block.firstOffset + block.count, bytes })
      return
    }
    sent = (sent + bytes) | 0
    packed.push(block)
    packedBytes += bytes
    if (packedBytes >= parcel.bytesMax) sendParcel()
    else timer ??= setTimeout(sendParcel, parcel.msMax)
  }

  function sendParcel(): void {
    clearTimeout(timer)
    timer = undefined
    if (packed.length === 0) return
    const message: ToThread = { type: 'blocks', blocks: packed }
    thread.post(
      message,
      packed.map(({ bytes }) => bytes.buffer as ArrayBuffer),
    )
    packed = []
    packedBytes = 0
  }

  /** In the order of the calls: what was pushed before goes first. */
  function post(message: ToThread): void {
    sendParcel()
    thread.post(message)
  }

  return {
    ...{ push, post, transitBytes },
    end(hasClosed) {
      clearTimeout(timer)
      if (hasClosed) thread.terminate()
      else thread.unref()
    },
  }
}
