import pino from 'pino'
import type { Log } from '../core/log.ts'

export type Logs = { log: Log; access: AccessLog; flush(): void }

export type AccessLog = (line: {
  id: string
  method: string
  path: string
  status: number
  ms: number
  bytes: number
  ip: string
}) => void

type Level = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Some hundred lines: a write takes a turn in the thread pool that the journal shares. */
const bufferBytes = 64 * 1024
/** An access line waits at most this long for its buffer to fill. */
const flushMs = 200

/**
 * JSON lines on standard output. Lines of the log are written at once; access lines, which come by the ten
 * thousand a second, are put together by hand (a tenth of pino's cost) and gathered into one write.
 */
export function createLogs({ level, access }: { level: Level; access: boolean }): Logs {
  const destination = pino.destination({
    dest: 1,
    minLength: bufferBytes,
    maxWrite: 4 * bufferBytes,
    sync: false,
  })
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const log = pino(options, destination)
  const timer = setInterval(() => destination.flush(), flushMs)
  timer.unref()
  // A reader that went away (a closed pipe) must not take the server with it.
  destination.on('error', () => {})
  const writeAccess: AccessLog = (line) => destination.write(toAccessLine(line))
  return {
    log,
    access: access && (level === 'info' || level === 'debug') ? writeAccess : () => {},
    flush: () => destination.flushSync(),
  }
}

function toAccessLine({
  id,
  method,
  path,
  status,
  ms,
  bytes,
  ip,
}: Parameters<AccessLog>[0]): string {
  return `{"level":"info","time":${Date.now()},"id":"${id}","method":"${method}","path":${JSON.stringify(path)},"status":${status},"ms":${ms.toFixed(2)},"bytes":${bytes},"ip":"${ip}","msg":"request"}\n`
}
