import type { CommittedBlock } from '../core/record.ts'
import type { FromThread, ThreadOptions, ToThread } from './thread-messages.ts'

/** One life of the shippers' thread. */
export type ThreadHandle = {
  /**
   * Hands a block over, or, while too much of it is under way, where it ends: the thread then reads
   * the journal.
   */
  push(block: CommittedBlock): void
  post(message: Exclude<ToThread, { type: 'start' | 'blocks' }>): void
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
  onMessage(message: FromThread): void
  /** It is gone, expected or not. `error` is what it said last. */
  onEnd(error: string | undefined): void
}

/** A bound that the 32 bits of the shared counter can hold. */
const transitBytesMax = 1024 * 1024 * 1024
/** Blocks go over in parcels: a message wakes the other thread, whatever it holds. */
const parcel = { bytesMax: 256 * 1024, msMax: 5 }

export function startThread({ options, onMessage, onEnd }: ThreadHandleOptions): ThreadHandle {
  const takenBytes = new SharedArrayBuffer(4)
  const taken = new Int32Array(takenBytes)
  const bytesMax = Math.min(options.ringBytesMax, transitBytesMax)
  const worker = new Worker(new URL('./thread.ts', import.meta.url).href)
  let sent = 0
  let packed: CommittedBlock[] = []
  let packedBytes = 0
  let timer: Timer | undefined
  let lastError: string | undefined
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
    worker.postMessage(
      message,
      packed.map(({ bytes }) => bytes.buffer as ArrayBuffer),
    )
    packed = []
    packedBytes = 0
  }

  /** In the order of the calls: what was pushed before goes first. */
  function post(message: ToThread): void {
    sendParcel()
    worker.postMessage(message)
  }

  worker.onmessage = ({ data }: MessageEvent<FromThread>) => onMessage(data)
  worker.onerror = (event) => {
    lastError = event.message
  }
  worker.addEventListener('close', () => onEnd(lastError))
  post({ type: 'start', options: { ...options, takenBytes } })
  return {
    ...{ push, post, transitBytes },
    end(hasClosed) {
      clearTimeout(timer)
      if (hasClosed) worker.terminate()
      else worker.unref()
    },
  }
}
