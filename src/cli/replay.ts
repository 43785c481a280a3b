import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Config } from '../config/config.ts'
import type { Log } from '../core/log.ts'
import type { Person, SinkName } from '../core/sink.ts'
import { findForgottenSince } from '../delivery/archive/forgotten.ts'
import { parseArchiveSettings } from '../delivery/archive/settings.ts'
import { openArchive } from '../delivery/archive/store.ts'
import { parseEnabledSinks } from '../delivery/create-sinks.ts'
import { openProgressFile } from '../delivery/replay/progress-file.ts'
import { type ReplayProgress, replay } from '../delivery/replay/replay.ts'
import {
  openClickHouseTarget,
  openKafkaTarget,
  type ReplayTarget,
  type ReplayTargetOptions,
} from '../delivery/replay/targets.ts'
import { diskFileSystem } from '../journal/file-system.ts'
import { CommandError, loadServerConfig, runCommand, usageFault } from './connection.ts'

const usage = `usage: bun run replay --from TIME [--to TIME] [--sink NAME]... [--project NAME] [--restart]

Sends events of the archive (ARCHIVE) again to the sinks of this server's settings. ClickHouse gets the
rows that it does not hold; Kafka gets every record, with the uuid that it had. The same command
continues a replay that was interrupted. The embedded ClickHouse must not be in use: stop the server.

  --from     received at this time or later, such as 2026-11-29 or 2026-11-29T10:00Z
  --to       received before this time; else now
  --sink     clickhouse or kafka; else every sink that the settings name
  --project  of this project only
  --restart  begin again where an earlier replay was interrupted

Exit code: 0 if every sink has everything, 3 if an object of the archive could not be read, 1 if a
person was forgotten meanwhile.`

const options = {
  from: { type: 'string' },
  to: { type: 'string' },
  sink: { type: 'string', multiple: true },
  project: { type: 'string' },
  restart: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

const openTarget: Record<string, (options: ReplayTargetOptions) => Promise<ReplayTarget>> = {
  clickhouse: openClickHouseTarget,
  kafka: openKafkaTarget,
}

const unreadExitCode = 3
const progressMs = 1000

function toTime(name: string, text: string): number {
  const isZoned = !text.includes('T') || /(?:Z|[+-]\d\d:?\d\d)$/.test(text)
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(isZoned ? text : `${text}Z`) : Number.NaN
  if (Number.isNaN(ms))
    throw usageFault(`--${name} ${JSON.stringify(text)} is not a time such as 2026-11-29`, usage)
  return ms
}

function toSinks(config: Config, given: readonly string[] | undefined): SinkName[] {
  const enabled = parseEnabledSinks(config).filter((name) => name in openTarget)
  if (given === undefined) return enabled
  for (const name of given)
    if (!enabled.includes(name as SinkName))
      throw usageFault(`--sink ${name} is not one of ${enabled.join(', ')}`, usage)
  return enabled.filter((name) => given.includes(name))
}

/** One process can open the embedded ClickHouse. The server holds the journal's lock. */
function lockEmbedded({ dataDir, CLICKHOUSE_URL: url }: Config, sinks: readonly SinkName[]) {
  const journal = join(dataDir, 'journal')
  if (url !== undefined || !sinks.includes('clickhouse') || !existsSync(journal)) return
  if (!diskFileSystem.lock(join(journal, 'lock')))
    throw new CommandError(
      `a server uses ${dataDir} and its embedded ClickHouse: stop it, then call this again`,
    )
}

function toText({ objects, objectsDone, records, sent }: ReplayProgress): string {
  const bySink = Object.entries(sent).map(([name, count]) => `${name} got ${count}`)
  return `object ${objectsDone} of ${objects}, ${records} records: ${bySink.join(', ')}`
}

/** A row of the person may have been on its way to a sink when the sink's rows were deleted. */
const toWarning = ({ project, distinctId }: Person) =>
  `${distinctId} of ${project} was forgotten while this replay ran, and may be back: call \`bun run forget\` again`

function createReporter(): (progress: ReplayProgress) => void {
  let printedMs = performance.now()
  return (progress) => {
    const nowMs = performance.now()
    if (nowMs - printedMs < progressMs) return
    printedMs = nowMs
    console.error(toText(progress))
  }
}

/** A sink that fails is retried without end, so the person has to see why. */
const log: Log = {
  debug() {},
  info() {},
  warn: (fields, message) => console.error(message, JSON.stringify(fields)),
  error: (fields, message) => console.error(message, JSON.stringify(fields)),
}

await runCommand(usage, async () => {
  const { values } = parseArgs({ options })
  const { from, to, project, restart } = values
  if (from === undefined) throw usageFault('--from is missing', usage)
  const fromMs = toTime('from', from)
  const askedToMs = to === undefined ? Date.now() : toTime('to', to)
  if (fromMs >= askedToMs) {
    const end = to === undefined ? 'now' : `--to ${to}`
    throw usageFault(`--from ${from} is not before ${end}: there is nothing to send`, usage)
  }
  const config = loadServerConfig()
  const { place } = parseArchiveSettings(config)
  const sinks = toSinks(config, values.sink)
  lockEmbedded(config, sinks)
  const store = openArchive(place)
  await store.check()

  const asked = JSON.stringify([place, from, to ?? '', project ?? '', sinks])
  const folder = join(config.dataDir, 'replay')
  const path = join(folder, Bun.hash.xxHash64(asked).toString(16))
  mkdirSync(folder, { recursive: true })
  if (!diskFileSystem.lock(`${path}.lock`)) throw new CommandError('this replay is running already')
  if (restart) rmSync(path, { force: true })
  const file = openProgressFile(path, askedToMs)
  const { runId, isResumed, toMs, startedMs, done } = file
  if (isResumed) console.error(`continuing after ${done.size} objects of an interrupted replay`)

  const { signal } = new AbortController()
  const targets = await Promise.all(
    sinks.map((name) => openTarget[name]!({ config, runId, isResumed, log, signal })),
  )
  const range = { fromMs, toMs, project }
  const outcome = await replay({
    ...{ store, range, targets, done, signal },
    onDone: file.add,
    onProgress: createReporter(),
  })
  for (const target of targets) await target.close()
  const forgotten = await findForgottenSince(store, startedMs)
  file.close(outcome.damaged.length === 0)
  console.log(toText(outcome))
  const unread = outcome.damaged.map(({ name, reason }) => `cannot read ${name}: ${reason}`)
  const lines = [...unread, ...forgotten.map(toWarning)]
  if (lines.length > 0) throw new CommandError(lines.join('\n'), unread[0] ? unreadExitCode : 1)
})
