import { createRequire } from 'node:module'
import { toRecordEncoder } from './record.ts'

/**
 * kafkajs 2.2.4 with three defects mended, which nobody will mend upstream: it is no longer maintained,
 * and so its files are where they were. Together they cost more than half of what a record costs.
 */
export const kafkajs: typeof import('kafkajs') = loadMended(createRequire(import.meta.url))

function loadMended(load: NodeJS.Require): typeof import('kafkajs') {
  replace(load, 'producer/groupMessagesPerPartition.js', () => groupByPartition)
  replace(load, 'protocol/recordBatch/record/v0/index.js', toRecordEncoder)
  quieten((load('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }).prototype)
  return load('kafkajs')
}

/** Takes the place of a module for all that require it after us. */
function replace<T>(load: NodeJS.Require, file: string, mend: (original: T) => T): void {
  const path = load.resolve(`kafkajs/src/${file}`)
  const original = load(path) as T
  const module = load.cache[path]
  if (!module) throw new Error(`kafkajs has no ${file} to mend`)
  module.exports = mend(original)
}

type Grouping = {
  topic: string
  partitionMetadata: readonly unknown[]
  messages: readonly unknown[]
  partitioner(one: {
    topic: string
    partitionMetadata: readonly unknown[]
    message: unknown
  }): number
}

/** The original copies a partition's messages anew for each message: O(n²). */
function groupByPartition({ topic, partitionMetadata, messages, partitioner }: Grouping) {
  const groups: Record<number, unknown[]> = {}
  if (partitionMetadata.length === 0) return groups
  for (const message of messages) {
    const partition = partitioner({ topic, partitionMetadata, message })
    groups[partition] ??= []
    groups[partition].push(message)
  }
  return groups
}

type RequestQueue = { pending: readonly unknown[]; scheduleCheckPendingRequests(): void }

/**
 * After its first answer a connection looks for held-back requests a thousand times a second for ever,
 * by a timer whose delay is negative, of which Bun warns. Now it looks only while some are held back.
 */
function quieten(queue: RequestQueue): void {
  const schedule = queue.scheduleCheckPendingRequests
  queue.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this)
  }
}
