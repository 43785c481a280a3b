import { setPriority } from 'node:os'
import type { ToVerify, Verified } from './password-thread.ts'

declare const self: Worker

/**
 * Gives intake three times the processor, and logins still a quarter of one on a machine that is saturated.
 * On Linux this lowers the calling thread alone; elsewhere it would lower the whole process.
 */
const niceness = 5
if (process.platform === 'linux') setPriority(0, niceness)

self.onmessage = ({ data: { id, secret, hash } }: MessageEvent<ToVerify>) => {
  self.postMessage({ id, ok: isMatch(secret, hash) } satisfies Verified)
}

function isMatch(secret: string, hash: string): boolean {
  try {
    return Bun.password.verifySync(secret, hash)
  } catch {
    return false
  }
}
