import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Log } from '../core/log.ts'
import type { SinkOffsets } from '../core/sink.ts'
import { createShipping, type Shipping } from '../delivery/shipping.ts'
import type { Journal } from '../journal/journal.ts'

export type Shipment = {
  config: Config
  log: Log
  /** Its folder stands in this one, with the shippers' cursors beside it. */
  folder: string
  journal: Pick<Journal, 'id' | 'endOffset'>
  /** Every sink has all records below its offset. Called when the shippers have started, and at each advance. */
  onOffsets(offsets: Readonly<SinkOffsets>): void
}

/** Delivers a journal to the sinks of `config`. `started` rejects, for the operator, where the shippers cannot run. */
export function shipJournal(shipment: Shipment): { shipping: Shipping; started: Promise<void> } {
  const { config, log, folder, journal, onOffsets } = shipment
  let offsets: SinkOffsets = {}
  let isStarted = false
  const shipping = createShipping({
    journalDir: join(folder, 'journal'),
    journalId: journal.id,
    stateDir: toStateDir(folder),
    endOffset: journal.endOffset,
    config,
    log,
    onAdvanced(sink, offset) {
      offsets[sink] = offset
      // Before, it might be the only one that is known, and pass for all.
      if (isStarted) onOffsets(offsets)
    },
  })
  const started = shipping.start().then((cursors) => {
    offsets = { ...cursors, ...offsets }
    isStarted = true
    onOffsets(offsets)
  })
  return { shipping, started }
}

export const toStateDir = (folder: string) => join(folder, 'state')
