import { mkdtempSync, openSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogs } from '../../../src/observability/log.ts'

/** Logs a line while all threads of the pool are busy, closes the log, and ends without any exit handler. */
const logs = createLogs({ LOG_LEVEL: 'info', LOG_FORMAT: 'json', ACCESS_LOG: true })
logs.log.info({}, 'first')
// The first line is written before the pool is busy.
await new Promise((resolve) => setTimeout(resolve, 20))

// Opening a pipe for reading holds a thread until a writer comes. Unlike a computation it takes no
// longer on a busy machine.
const folder = mkdtempSync(join(tmpdir(), 'spillway-log-'))
const pipe = join(folder, 'pipe')
Bun.spawnSync(['mkfifo', pipe])
for (let at = 0; at < 8; at += 1) void open(pipe, 'r')
setTimeout(() => openSync(pipe, 'w'), 50)

logs.log.info({}, 'last')
await logs.close()
rmSync(folder, { recursive: true })
process.kill(process.pid, 'SIGKILL')
