/**
 * Times as tools other than `Date.toISOString` write them: databases, Ruby, Go, Java, spreadsheets.
 * A strict table of forms, because `Date.parse` guesses: it reads a text without a zone in the zone
 * of the server. A form whose order of day and month is not certain (16.12.2014) is not in it.
 */

/** Reads a time that is not in ISO 8601 as `Date` writes it, in ms since 1970. Undefined if no form fits. */
export function parseWrittenTime(text: string): number | undefined {
  const { bare, zoneName } = splitBracketedZone(text.replace(comment, ''))
  for (const form of forms) {
    const groups = form.exec(bare)?.groups
    if (groups) return toTimeMs(groups as Groups, zoneName)
  }
  return undefined
}

type Groups = Partial<Record<'year' | 'month' | 'name' | 'day' | 'time', string>>

/** `(Coordinated Universal Time)`, as JavaScript writes it behind the offset. */
const comment = /\s*\([^()]*\)$/
/** `[Asia/Shanghai]`, as Java writes it behind the offset. */
const bracketedZone = /^([^[\]]*)\[([\w+/-]{1,40})\]$/

const weekday = String.raw`(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?\s+)?`
const monthName = String.raw`(?<name>[a-z]{3,9})\.?`
const day = String.raw`(?<day>\d{1,2})`
const year = String.raw`(?<year>\d{4})`
/** Everything behind the date. */
const time = String.raw`(?<time>(?:t\s*|,?\s+)\d.*)?`
const toForm = (pattern: string) => new RegExp(`^${pattern}$`, 'i')

/** All are anchored at both ends, and the text is at most `textLengthMax` characters long. */
const forms = [
  // 2014-12-16, 2014/12/16, 2014.12.16
  toForm(String.raw`${year}([-/.])(?<month>\d{1,2})\2${day}${time}`),
  // 20141216T062000Z
  toForm(String.raw`${year}(?<month>\d\d)(?<day>\d\d)(?<time>t\d.*)`),
  // 12/16/2014: the order of the United States, as the original capture service reads it
  toForm(String.raw`(?<month>\d{1,2})/${day}/${year}${time}`),
  // Dec 16, 2014; Tue Dec 16 2014
  toForm(String.raw`${weekday}${monthName}\s+${day}(?:st|nd|rd|th)?,?\s+${year}${time}`),
  // 16 Dec 2014; Tue, 16 Dec 2014; 16-Dec-2014
  toForm(String.raw`${weekday}${day}(?:\s+|-)${monthName}(?:,?\s+|-)${year}${time}`),
  // Tue Dec 16 06:20:00 UTC 2014: the year stands behind the time, as `date` and Ruby write it
  toForm(
    String.raw`${weekday}${monthName}\s+${day}(?<time>\s+\d[^\s]*(?:\s+[a-z0-9:+-]+)?)\s+${year}`,
  ),
]

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const monthNames = [
  ...['january', 'february', 'march', 'april', 'may', 'june'],
  ...['july', 'august', 'september', 'october', 'november', 'december'],
]

function toTimeMs(groups: Groups, zoneName: string | undefined): number | undefined {
  const month = groups.name === undefined ? Number(groups.month) : toMonth(groups.name)
  const dateMs = toDateMs(Number(groups.year), month, Number(groups.day))
  const clock = parseClock(groups.time ?? '')
  if (dateMs === undefined || clock === undefined) return undefined
  const localMs = dateMs + clock.ms
  const zone = clock.zone === '' && zoneName !== undefined ? zoneName : clock.zone
  const offsetMs = toOffsetMs(zone, localMs)
  return offsetMs === undefined ? undefined : localMs - offsetMs
}

/** 1 to 12, or NaN. `Sept` is a common short form. */
function toMonth(name: string): number {
  const lower = name.toLowerCase()
  const short = lower === 'sept' ? 'sep' : lower
  const at = short.length === 3 ? months.indexOf(short) : monthNames.indexOf(short)
  return at < 0 ? Number.NaN : at + 1
}

/**
 * Undefined for days that do not exist, and for years below 100, which clients send for "unknown".
 */
export function toDateMs(year: number, month: number, day: number): number | undefined {
  if (!(year >= 100 && month >= 1 && month <= 12)) return undefined
  const ms = Date.UTC(year, month - 1, day)
  return new Date(ms).getUTCDate() === day ? ms : undefined
}

const clockPattern =
  /^(?:t\s*|,?\s+)(\d{1,2}):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,12}))?)?\s*([ap]\.?m(?:\.|\b))?\s*(\S.*)?$/i

/** The time of day in ms, and the text of the zone. A date without a time is its midnight. */
function parseClock(text: string): { ms: number; zone: string } | undefined {
  if (text === '') return { ms: 0, zone: '' }
  const match = clockPattern.exec(text)
  if (!match) return undefined
  const [, hourText, minutes, seconds = '0', fraction = '', half, zone = ''] = match
  const hours = toHours(Number(hourText), half)
  if (hours === undefined || Number(minutes) > 59 || Number(seconds) > 60) return undefined
  const ms = ((hours * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
  return { ms: ms + Number(fraction.slice(0, 3).padEnd(3, '0')), zone }
}

/** 24:00 is the end of a day. With AM or PM, 12 is the first hour of its half. */
function toHours(hour: number, half: string | undefined): number | undefined {
  if (half === undefined) return hour <= 24 ? hour : undefined
  if (hour > 12) return undefined
  return (hour % 12) + (half.toLowerCase().startsWith('p') ? 12 : 0)
}

/**
 * Zone names of RFC 2822, and others that stand for one offset only, in hours. IST, BST and the like
 * stand for several, so they are not here.
 */
const namedOffsets: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ...{ z: 0, utc: 0, gmt: 0, ut: 0, wet: 0, west: 1, cet: 1, cest: 2, eet: 2, eest: 3, msk: 3 },
    ...{ jst: 9, kst: 9, hkt: 8, sgt: 8 },
    ...{ est: -5, edt: -4, cst: -6, cdt: -5, mst: -7, mdt: -6, pst: -8, pdt: -7 },
  }),
)

/** `+0800`, `GMT+08:00`, `+0800 CST`: the offset counts, and a name behind it is ignored. */
const offsetPattern = /^(?:utc|gmt)?([+-])(\d{1,2})(?::?(\d\d))?(?:\s+[a-z]{1,5})?$/i

/** The offset of a zone from UTC at a local time, in ms. Undefined for a zone that is not known. */
function toOffsetMs(zone: string, localMs: number): number | undefined {
  if (zone === '') return 0
  const match = offsetPattern.exec(zone)
  if (match) {
    const minutes = Number(match[2]) * 60 + Number(match[3] ?? 0)
    return minutes < 24 * 60 ? (match[1] === '-' ? -minutes : minutes) * 60_000 : undefined
  }
  const name = zone.toLowerCase()
  const hours = namedOffsets.get(name)
  if (hours !== undefined) return hours * 3_600_000
  return zone.includes('/') ? toRegionOffsetMs(zone, localMs) : undefined
}

/** The offset of a zone such as `Asia/Shanghai`. Measured: 4 µs a time. */
function toRegionOffsetMs(zone: string, localMs: number): number | undefined {
  try {
    const local = Temporal.Instant.fromEpochMilliseconds(localMs)
      .toZonedDateTimeISO('UTC')
      .toPlainDateTime()
    return localMs - local.toZonedDateTime(zone).epochMilliseconds
  } catch {
    return undefined
  }
}

function splitBracketedZone(text: string): { bare: string; zoneName: string | undefined } {
  const match = bracketedZone.exec(text)
  return match
    ? { bare: match[1]!.trimEnd(), zoneName: match[2] }
    : { bare: text, zoneName: undefined }
}
