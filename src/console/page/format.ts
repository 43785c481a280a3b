/** Numbers, sizes and times for readers. All functions are total: what is unknown becomes a dash. */

const dash = '–'
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })

export function toCount(value: number | null | undefined): string {
  return value === null || value === undefined ? dash : whole.format(value)
}

/** `12,345`, `12.3 k`, `1.2 M`: at most six characters, for axes and tight places. */
export function toShortCount(value: number): string {
  if (Math.abs(value) >= 1e9) return `${fine.format(value / 1e9)} G`
  if (Math.abs(value) >= 1e6) return `${fine.format(value / 1e6)} M`
  if (Math.abs(value) >= 1e4) return `${fine.format(value / 1e3)} k`
  return fine.format(value)
}

/** Per second. */
export function toRate(value: number | null | undefined): string {
  if (value === null || value === undefined) return dash
  return value < 100 ? fine.format(value) : whole.format(value)
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

export function toBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return dash
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${value < 100 && unit > 0 ? fine.format(value) : whole.format(value)} ${units[unit]}`
}

export function toDuration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return dash
  if (ms === 0) return '0 ms'
  if (ms < 1) return `${ms.toFixed(2)} ms`
  if (ms < 1000) return `${ms < 10 ? fine.format(ms) : whole.format(ms)} ms`
  if (ms < 60_000) return `${fine.format(ms / 1000)} s`
  if (ms < 3_600_000) return `${whole.format(Math.floor(ms / 60_000))} min`
  if (ms < 172_800_000) return `${fine.format(ms / 3_600_000)} h`
  return `${whole.format(ms / 86_400_000)} days`
}

const two = (value: number) => String(value).padStart(2, '0')

/** `13:05:09.120`, by the reader's clock. */
export function toTime(atMs: number, withMs = true): string {
  const at = new Date(atMs)
  const seconds = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')
  return withMs ? `${seconds}.${String(at.getMilliseconds()).padStart(3, '0')}` : seconds
}

/** `2026-11-29 13:05:09.120`, by the reader's clock. */
export function toDateTime(atMs: number | null | undefined): string {
  if (atMs === null || atMs === undefined) return dash
  const at = new Date(atMs)
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${toTime(atMs)}`
}

export function toAgo(atMs: number | null | undefined, nowMs = Date.now()): string {
  if (atMs === null || atMs === undefined) return dash
  const ms = Math.max(0, nowMs - atMs)
  return ms < 1500 ? 'now' : `${toDuration(ms < 60_000 ? Math.round(ms / 1000) * 1000 : ms)} ago`
}

/** `quota_dropped` becomes `quota dropped`. */
export const toWords = (name: string) => name.replaceAll('_', ' ')
