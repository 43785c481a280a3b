import pino from 'pino'
import type { Log } from '../core/log.ts'

export type Logs = {
  log: Log
  access: AccessLog
  /** Writes every line that waits. Called last: later access lines are lost. */
  close(): void
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

type Level = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** A few hundred lines: each write takes a thread of the pool that the journal's writes use, too. */
const accessBytes = 64 * 1024
/** An access line waits at most this long for others. */
const flushMs = 200

/**
 * JSON lines on standard output. Access lines (tens of thousands a second) are formatted by hand, at a tenth of pino's
 * cost, and gathered here, because the stream measures everything that it holds at each write.
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
  const write = () => {
    if (lines !== '') destination.write(lines)
    lines = ''
  }
  const timer = setInterval(write, flushMs)
  timer.unref()
  // Without a listener a closed pipe would end the server.
  destination.on('error', () => {})
  const gather: AccessLog = (line) => {
    lines += toAccessLine(line)
    if (lines.length > accessBytes) write()
  }
  return {
    log,
    access: access && (level === 'info' || level === 'debug') ? gather : () => {},
    close() {
      clearInterval(timer)
      write()
      destination.flushSync()
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
