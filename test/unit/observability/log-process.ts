import { pbkdf2 } from 'node:crypto'
import { createLogs } from '../../../src/observability/log.ts'

/** Logs a line while all threads of the pool are busy, closes the log, and ends without any exit handler. */
const logs = createLogs({ LOG_LEVEL: 'info', LOG_FORMAT: 'json', ACCESS_LOG: true })
logs.log.info({}, 'first')
for (let at = 0; at < 4; at += 1) pbkdf2('secret', 'salt', 200_000, 64, 'sha512', () => {})
await new Promise((resolve) => setTimeout(resolve, 20))
logs.log.info({}, 'last')
await logs.close()
process.kill(process.pid, 'SIGKILL')
