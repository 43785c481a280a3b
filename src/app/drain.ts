import type { Drain } from '../console/drain-routes.ts'
import { toProcessPlace } from '../core/process-end.ts'
import type { IntakeGate } from './intake-gate.ts'
import type { OrphanDelivery } from './orphaned-journals.ts'
import type { Services } from './services.ts'

type DrainOptions = {
  gate: IntakeGate
  orphans: Pick<OrphanDelivery, 'folders'>
  /** One of WORKERS: its supervisor stops all of them. */
  isSupervised: boolean
}

/** Of setTimeout. */
const timerMsMax = 2 ** 31 - 1

/** Stops the intake while the server runs, so that every sink can get everything. */
export function createDrain(
  { config, memory, storage }: Services,
  { gate, orphans, isSupervised }: DrainOptions,
): Drain {
  let isBegun = false
  const pids = isSupervised ? [process.pid, process.ppid] : [process.pid]
  const place = toProcessPlace()

  async function run(): Promise<void> {
    await gate.leave()
    gate.close()
    // From now on the shippers do not wait for full batches. The operator decides when to stop.
    await storage.shipping.drain(timerMsMax)
  }

  return {
    begin() {
      if (!isBegun) void run()
      isBegun = true
    },
    read() {
      const health = storage.shipping.health()
      const sinks = Object.entries(storage.shipping.stats().sinks).map(([name, { waiting }]) => [
        name,
        { waiting, last_error: health[name]?.lastError ?? null },
      ])
      return {
        is_closed: gate.isClosed(),
        requests: memory.used().requests,
        sinks: Object.fromEntries(sinks),
        orphaned: orphans.folders(),
        folder: config.dataDir,
        process: { pids, place },
      }
    },
    stop: () => void process.kill(isSupervised ? process.ppid : process.pid, 'SIGTERM'),
  }
}
