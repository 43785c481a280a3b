/**
 * ms since 1970 → `2026-01-01T12:00:00.000Z`. `Date` takes 180 ns for it, so the second is written
 * once and kept; make one for each kind of time.
 */
export function createIsoTime(): (ms: number) => string {
  let lastSecond = Number.NaN
  let prefix = ''
  return (ms) => {
    const second = Math.floor(ms / 1000)
    if (second !== lastSecond) {
      prefix = new Date(second * 1000).toISOString().slice(0, -4)
      lastSecond = second
    }
    return prefix + millis[Math.floor(ms - second * 1000)]
  }
}

const millis = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`)
