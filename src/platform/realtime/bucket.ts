/** Takes one token; false where none is left. */
export type Bucket = (nowMs: number) => boolean

/** A token bucket that starts full. */
export function createBucket({ perSecond, burst }: { perSecond: number; burst: number }): Bucket {
  let tokens = burst
  let filledMs: number | undefined
  return (nowMs) => {
    const passedMs = Math.max(0, nowMs - (filledMs ?? nowMs))
    tokens = Math.min(burst, tokens + (passedMs * perSecond) / 1000)
    filledMs = nowMs
    if (tokens < 1) return false
    tokens -= 1
    return true
  }
}
