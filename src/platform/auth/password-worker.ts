import { setPriority } from 'node:os'
import { serveRequests } from '../../core/worker-thread.ts'
import type { PasswordCheck } from './password-thread.ts'

/**
 * Gives intake three times the processor, and logins still a quarter of one on a machine that is saturated.
 * On Linux this lowers the calling thread alone; elsewhere it would lower the whole process.
 */
const niceness = 5
if (process.platform === 'linux') setPriority(0, niceness)

serveRequests<PasswordCheck, boolean>(({ secret, hash }) => isMatch(secret, hash))

function isMatch(secret: string, hash: string): boolean {
  try {
    return Bun.password.verifySync(secret, hash)
  } catch {
    return false
  }
}
