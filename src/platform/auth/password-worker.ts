import { setPriority } from 'node:os'
import { serveRequests } from '../../core/worker-thread.ts'
import type { PasswordCheck } from './secrets.ts'

/**
 * On a saturated machine the HTTP thread gets three times the CPU of this thread, and a login still
 * a quarter of a core. On Linux this lowers the calling thread only; elsewhere it would lower the
 * whole process.
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
