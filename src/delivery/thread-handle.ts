import type { CommittedBlock } from '../core/record.ts'
import { startThread } from '../core/worker-thread.ts'
import type { DeliveryThread, FromThread, ThreadOptions, ToThread } from './thread-messages.ts'

/** The host's side of one delivery thread. */
export type ThreadHandle = {
  /**
   * Transfers a block to the thread. While more than RING_BYTES_MAX is in transit, only its end offset
   * is sent, and the thread reads the block from the journal.
   */
  push(block: CommittedBlock): void
  post(message: Exclude<ToThread, { type: 'blocks' }>): void
  /** Bytes pushed and not yet taken by the thread. */
  transitBytes(): number
  /** Terminates a thread that has closed. Any other thread goes on, but keeps no process alive. */
  end(hasClosed: boolean): void
}

export type ThreadHandleOptions = {
  options: Omit<ThreadOptions, 'takenBytes'>
  /** Called when the thread runs, with the cursor of each sink. */
  onStarted(cursors: DeliveryThread['ready']): void
  onMessage(message: FromThread): void
  /** Called when the thread ends or refuses to start. `error` is its last error, for the operator. */
  onEnd(error: string | undefined): void
}

/** The difference of two 32-bit counters must fit into 31 bits. */
const transitBytesMax = 1024 * 1024 * 1024
/** Blocks are sent in groups: each message wakes the other thread, whatever its size. */
const group = { bytesMax: 256 * 1024, msMax: 5 }

export function startDeliveryThread({
  options,
  onStarted,
  onMessage,
  onEnd,
}: ThreadHandleOptions): ThreadHandle {
  const takenBytes = new SharedArrayBuffer(4)
  const taken = new Int32Array(takenBytes)
  const bytesMax = Math.min(options.config.RING_BYTES_MAX, transitBytesMax)
  const thread = startThread<DeliveryThread>({
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
  // Both counters wrap around at 2^32, so the difference stays right.
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
    if (packedBytes >= group.bytesMax) sendGroup()
    else timer ??= setTimeout(sendGroup, group.msMax)
  }

  function sendGroup(): void {
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

  /** Keeps the order of the calls: pushed blocks are sent first. */
  function post(message: ToThread): void {
    sendGroup()
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
