import { styleText } from 'node:util'
import { toLine } from '../core/printable.ts'

/**
 * Log lines in JSON, as lines that a person reads: `14:03:02.123 warn  message  name=value`. A client chooses the path
 * of a request, so control characters are escaped.
 */
export function toTextLines(jsonLines: string): string {
  return jsonLines
    .split('\n')
    .map((line) => (line === '' ? '' : toText(line)))
    .join('\n')
}

type Line = { level: string; time: number; msg: string } & Record<string, unknown>

function toText(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Line
  const { message, rest } = msg === 'request' ? toRequest(fields) : { message: msg, rest: fields }
  const named = Object.entries(rest).map(([name, value]) => ` ${name}=${toValue(value)}`)
  const label = styleLevel(level)
  return `${toClock(time)} ${label} ${toLine(message)}${named.length > 0 ? ' ' : ''}${named.join('')}`
}

function toRequest({ method, path, status, ms, ...rest }: Record<string, unknown>) {
  return { message: `${method} ${path} ${status} ${ms} ms`, rest }
}

/** Quoted if it has spaces or quotes, so that the end of a value is visible. */
function toValue(value: unknown): string {
  const isPlain = typeof value === 'string' && /^[^\s"=]+$/.test(value)
  return toLine(isPlain ? value : JSON.stringify(value))
}

/** The time of day here; a terminal shows the present. */
function toClock(ms: number): string {
  const date = new Date(ms)
  const pad = (value: number, length = 2) => String(value).padStart(length, '0')
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`
}

const colours: Record<string, 'yellow' | 'red'> = { warn: 'yellow', error: 'red' }

/** Without colour where standard output is no terminal, and with NO_COLOR. */
function styleLevel(level: string): string {
  const label = level.padEnd(5)
  const colour = colours[level]
  return colour ? styleText(colour, label, { stream: process.stdout }) : label
}
