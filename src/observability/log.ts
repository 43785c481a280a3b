import { isatty } from 'node:tty'
import pino from 'pino'
import type { Config } from '../config/config.ts'
import { withTimeLimit } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import { toTextLines } from './log-text.ts'

export type Logs = {
  log: Log
  access: AccessLog
  /** Writes text for a person, as it is, if log lines are text. */
  introduce(text: string): void
  /** Resolves when every line is written, or after a second. Later lines are lost. */
  close(): Promise<void>
}

export type AccessLog = (line: AccessLine) => void

type AccessLine = {
  /** The reply carries it as `X-Request-Id`. */
  id: string
  method: string
  path: string
  status: number
  ms: number
  bytes: number
  ip: string
  /** Why the request was refused, as a code. */
  reason?: string | undefined
  /** The `X-Request-Id` that the client sent. */
  clientId?: string | null
}

type LogSettings = Pick<Config, 'LOG_LEVEL' | 'LOG_FORMAT' | 'ACCESS_LOG'>

/** A few hundred lines: each write takes a thread of the pool that the journal's writes use, too. */
const accessBytes = 64 * 1024
/** An access line waits at most this long for others. */
const flushMs = 200
/** A pipe whose reader has stopped must not hold up the end of the process. */
const closeMsMax = 1000

/**
 * Lines on standard output: JSON, or text for a person at a terminal. Access lines (tens of thousands a second) are formatted by hand, at a tenth of pino's
 * cost, and gathered here, because the stream measures everything that it holds at each write.
 */
export function createLogs(settings: LogSettings): Logs {
  const { LOG_LEVEL: level, LOG_FORMAT: format, ACCESS_LOG: access } = settings
  const isText = format === 'text' || (format === 'auto' && isatty(1))
  const destination = pino.destination({ dest: 1, sync: false })
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  let lines = ''
  let closing: Promise<void> | undefined
  const write = () => {
    if (lines !== '') destination.write(isText ? toTextLines(lines) : lines)
    lines = ''
  }
  const toTextStream = (line: string) => {
    // A person reads the lines in the order of their events.
    write()
    destination.write(toTextLines(line))
  }
  const log = pino(options, isText ? { write: toTextStream } : destination)
  const timer = setInterval(write, flushMs)
  timer.unref()
  // Without a listener a closed pipe would end the server.
  destination.on('error', () => {})
  const gather: AccessLog = (line) => {
    if (closing) return
    lines += toAccessLine(line)
    if (lines.length > accessBytes) write()
  }
  /** Not `flushSync`: it leaves out a write that the thread pool has not done yet, and the process ends before it. */
  async function end(): Promise<void> {
    clearInterval(timer)
    write()
    log.level = 'silent'
    const ended = new Promise<void>((resolve) => destination.once('close', resolve))
    destination.end()
    await withTimeLimit(ended, closeMsMax, () => {})
  }
  const isInfoLogged = level === 'info' || level === 'debug'
  return {
    log,
    access: access && isInfoLogged ? gather : () => {},
    introduce(text) {
      if (!isText || !isInfoLogged || closing) return
      write()
      destination.write(text)
    },
    close() {
      closing ??= end()
      return closing
    },
  }
}

function toAccessLine(line: AccessLine): string {
  const { id, method, path, status, ms, bytes, ip, reason, clientId } = line
  const why = reason === undefined ? '' : `,"reason":${toJsonText(reason)}`
  const client = clientId && soundId.test(clientId) ? `,"client_request_id":"${clientId}"` : ''
  return `{"level":"info","time":${Date.now()},"id":"${id}","method":"${method}","path":${toJsonText(path)},"status":${status},"ms":${ms.toFixed(2)},"bytes":${bytes},"ip":"${ip}"${why}${client},"msg":"request"}\n`
}

/** Any client can write this header, so only short and plain ids are logged. */
const soundId = /^[\w.:/+=-]{1,64}$/
const plain = /^[ !#-[\]-~]*$/
const textCharsMax = 512

/** Cut, because a client chooses the length of a path. */
function toJsonText(text: string): string {
  const cut = text.length > textCharsMax ? text.slice(0, textCharsMax) : text
  return plain.test(cut) ? `"${cut}"` : JSON.stringify(cut)
}
