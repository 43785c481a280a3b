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
const accessBytes = 64 * 1024
/** A line waits at most this long for others. */
const flushMs = 200

/**
 * JSON lines on standard output. Access lines, which come by the ten thousand a second, are put together by hand (a tenth
 * of pino's cost) and gathered here: the stream measures all that it holds at each write.
 */
export function createLogs({ level, access }: { level: Level; access: boolean }): Logs {
  const destination = pino.destination({ dest: 1, sync: false })
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const log = pino(options, destination)
  let lines = ''
  const hand = () => {
    if (lines !== '') destination.write(lines)
    lines = ''
  }
  const timer = setInterval(hand, flushMs)
  timer.unref()
  // A reader that went away (a closed pipe) must not take the server with it.
  destination.on('error', () => {})
  const gather: AccessLog = (line) => {
    lines += toAccessLine(line)
    if (lines.length > accessBytes) hand()
  }
  return {
    log,
    access: access && (level === 'info' || level === 'debug') ? gather : () => {},
    flush() {
      hand()
      destination.flushSync()
    },
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
  return `{"level":"info","time":${Date.now()},"id":"${id}","method":"${method}","path":${toJsonText(path)},"status":${status},"ms":${ms.toFixed(2)},"bytes":${bytes},"ip":"${ip}","msg":"request"}\n`
}

const plain = /^[ !#-[\]-~]*$/
const toJsonText = (text: string) => (plain.test(text) ? `"${text}"` : JSON.stringify(text))
