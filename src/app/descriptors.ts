import { dlopen, FFIType, ptr } from 'bun:ffi'
import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Log } from '../core/log.ts'

/**
 * Keeps file descriptors for journal and sinks when connections take all others. The runtime accepts
 * connections until the process has no descriptor left, and idle ones cost their owner nothing. So
 * this holds a reserve. When no other descriptor is left it closes idle connections and releases the
 * reserve; later it takes the reserve back. Returns a function that ends it.
 */
export function keepDescriptors({ port, closeIdle, log }: KeepDescriptorsOptions): () => void {
  const limit = readOpenFilesMax()
  if (limit < recommendedMin)
    log.warn(
      { limit },
      `the limit of open files is ${limit}, and each connection takes one; allow at least ${recommendedMin} (ulimit -n)`,
    )
  const wanted = Math.min(reserveMax, Math.floor(limit / 8))
  const sockets = createSocketFinder(port)
  const reserve: number[] = []
  let warnedMs = Number.NEGATIVE_INFINITY

  function check(): void {
    if (fill(reserve, wanted)) return
    // Those without any request first: a client may send on a connection while it is closed as idle.
    const closed = sockets.closeSilent(limit) || closeIdle()
    for (const descriptor of reserve.splice(0)) closeSync(descriptor)
    if (performance.now() - warnedMs < warnMs) return
    warnedMs = performance.now()
    log.warn({ limit, closed }, 'no file descriptor was left; idle connections were closed')
  }

  check()
  const timer = setInterval(check, checkMs)
  timer.unref()
  return () => {
    clearInterval(timer)
    for (const descriptor of reserve.splice(0)) closeSync(descriptor)
    sockets.close()
  }
}

type KeepDescriptorsOptions = {
  /** Of the listener whose connections may be closed. */
  port: number
  /** Closes the connections that wait for their next request. Returns their number. */
  closeIdle(): number
  log: Log
}

const recommendedMin = 65_536
/** Journal segments, cursors, parts of the embedded ClickHouse, connections to brokers. */
const reserveMax = 256
/** Measured: a check takes 5 µs while nothing is wrong. */
const checkMs = 25
const warnMs = 60_000

/** One descriptor more than `wanted` must be free. False if there is none. */
function fill(reserve: number[], wanted: number): boolean {
  try {
    while (reserve.length < wanted) reserve.push(openSync('/dev/null', 'r'))
    closeSync(openSync('/dev/null', 'r'))
    return true
  } catch {
    return false
  }
}

/** The process's limit of open files. Infinity where the system does not tell. */
export function readOpenFilesMax(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

type SocketFinder = {
  /**
   * Closes connections that got no reply yet and send nothing: the runtime does not count those as
   * idle, because their request may be on its way. Returns their number.
   */
  closeSilent(limit: number): number
  close(): void
}

/**
 * A request that has begun counts as silent after this time. A connection without one does at once:
 * the kernel hands a connection over with its first bytes, and without them only after a second.
 */
const silentMsMin = 2000
/** Measured: 1 µs each. One check must not hold the thread for long. */
const scannedMax = 16_384

/** By TCP_INFO of Linux. Elsewhere it finds nothing. */
function createSocketFinder(port: number): SocketFinder {
  const library = process.platform === 'linux' ? openLibrary() : undefined
  if (!library) return { closeSilent: () => 0, close() {} }
  const { getsockname, getsockopt, shutdown } = library.symbols
  const info = new DataView(new ArrayBuffer(256))
  const address = new DataView(new ArrayBuffer(32))
  const length = new Uint32Array(1)

  function isSilent(descriptor: number): boolean {
    length[0] = address.byteLength
    if (getsockname(descriptor, ptr(address), ptr(length)) !== 0) return false
    // Family in the first two bytes, then the port, for IPv4 and IPv6.
    if (address.getUint16(2) !== port) return false
    length[0] = info.byteLength
    if (getsockopt(descriptor, tcp.level, tcp.info, ptr(info), ptr(length)) !== 0) return false
    if (info.getUint8(tcp.stateAt) !== tcp.established) return false
    if (info.getBigUint64(tcp.bytesAckedAt, true) > 0n) return false
    const hasRequest = info.getBigUint64(tcp.bytesReceivedAt, true) > 0n
    return !hasRequest || info.getUint32(tcp.lastReceivedMsAt, true) >= silentMsMin
  }

  return {
    closeSilent(limit) {
      let closed = 0
      for (let descriptor = 3; descriptor < Math.min(limit, scannedMax); descriptor += 1) {
        if (!isSilent(descriptor)) continue
        // The runtime still owns the descriptor: it sees the end of the connection and closes it.
        shutdown(descriptor, tcp.bothDirections)
        closed += 1
      }
      return closed
    },
    close: () => library.close(),
  }
}

/** From linux/tcp.h and sys/socket.h. */
const tcp = {
  ...{ level: 6, info: 11, stateAt: 0, established: 1, bothDirections: 2 },
  ...{ lastReceivedMsAt: 52, bytesAckedAt: 120, bytesReceivedAt: 128 },
}

function openLibrary() {
  const { i32, ptr: pointer } = FFIType
  try {
    return dlopen('libc.so.6', {
      getsockname: { args: [i32, pointer, pointer], returns: i32 },
      getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
      shutdown: { args: [i32, i32], returns: i32 },
    })
  } catch {
    return undefined
  }
}
