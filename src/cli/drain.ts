import { parseArgs } from 'node:util'
import type { DrainState } from '../console/drain-routes.ts'
import { toLine } from '../core/printable.ts'
import { hasEnded, toProcessPlace } from '../core/process-end.ts'
import {
  CommandError,
  connect,
  connectionOptions,
  runCommand,
  type ServerConnection,
  usageFault,
} from './connection.ts'

const usage = `usage: bun run drain [--stop] [--timeout SECONDS] [--url URL]

Stops the intake of a running server, and waits until every sink has every event. Readiness is 503
at once; after DRAIN_MS events get 503, too. The server keeps running, without events, until it is
stopped. Only a restart lets it take events again.

  --stop     stop the server afterwards, as SIGTERM does; on the machine or in the container of the
             server, wait until its processes have ended
  --timeout  wait no longer than this; without it the command waits as long as a sink is away
  --url      address of the server; else SPILLWAY_URL, or this machine with ADMIN_PORT or PORT
             The token is taken from ADMIN_TOKEN.

Exit code: 0 if every sink has everything, 3 if events are undelivered.`

const options = {
  url: connectionOptions.url,
  help: connectionOptions.help,
  stop: { type: 'boolean', default: false },
  timeout: { type: 'string' },
} as const

const pollMs = 250
const endPollMs = 20
/** A line without news, so that a person sees that the command still waits. */
const quietMs = 10_000
const undeliveredExitCode = 3

type State = { processes: DrainState[]; complete: boolean; notes: string[] }

function toSeconds(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw usageFault(`--timeout ${JSON.stringify(text)} is not a number of seconds`, usage)
}

/** Prints each change. Resolves when nothing is left to wait for, or at the deadline. */
async function waitUntilDrained(server: ServerConnection, deadlineMs: number): Promise<State> {
  let state: State = await server.send('drain', {})
  let printed = ''
  let printedMs = 0
  for (;;) {
    const progress = toProgress(state)
    const nowMs = performance.now()
    if (progress !== printed || nowMs - printedMs > quietMs) {
      console.log(toLine(progress))
      printed = progress
      printedMs = nowMs
    }
    if (isSettled(state) || nowMs > deadlineMs) return state
    await Bun.sleep(pollMs)
    state = await server.read('drain')
  }
}

const isSettled = ({ processes, complete }: State) =>
  complete &&
  processes.every(
    ({ is_closed, requests, sinks, orphaned }) =>
      is_closed &&
      requests === 0 &&
      orphaned.waiting.length === 0 &&
      Object.values(sinks).every(({ waiting }) => waiting === 0),
  )

function toProgress({ processes, notes }: State): string {
  const bySink = new Map<string, { waiting: number; errors: Set<string> }>()
  for (const { sinks } of processes) {
    for (const [name, { waiting, last_error }] of Object.entries(sinks)) {
      const sum = bySink.get(name) ?? { waiting: 0, errors: new Set() }
      sum.waiting += waiting
      if (last_error !== null) sum.errors.add(last_error)
      bySink.set(name, sum)
    }
  }
  const sinks = [...bySink].map(([name, { waiting, errors }]) => {
    const why = errors.size > 0 ? ` (${[...errors].join('; ')})` : ''
    return `${name} lacks ${waiting} events${why}`
  })
  const orphaned = processes.flatMap((one) => one.orphaned.waiting)
  const requests = processes.reduce((sum, one) => sum + one.requests, 0)
  return [
    processes.every(({ is_closed }) => is_closed) ? 'intake stopped' : 'unready, intake open',
    ...(requests > 0 ? [`${requests} requests in flight`] : []),
    ...sinks,
    ...(orphaned.length > 0 ? [`${orphaned.length} orphaned journals waiting`] : []),
    ...notes,
  ].join(', ')
}

/** Of one process, the sink that lacks most. */
const countUndelivered = ({ processes }: State) =>
  processes.reduce(
    (sum, { sinks }) => sum + Math.max(0, ...Object.values(sinks).map(({ waiting }) => waiting)),
    0,
  )

function toFolders({ processes }: State): string[] {
  return processes.flatMap(({ sinks, folder, orphaned }) => {
    const hasWaiting = Object.values(sinks).some(({ waiting }) => waiting > 0)
    return [...(hasWaiting ? [folder] : []), ...orphaned.waiting, ...orphaned.failed]
  })
}

/** A server that a service manager has started again takes events again. */
async function waitUntilGone(server: ServerConnection): Promise<void> {
  for (;;) {
    await Bun.sleep(pollMs)
    try {
      const { processes }: State = await server.read('drain')
      if (processes.some(({ is_closed }) => !is_closed)) return
    } catch {
      return
    }
  }
}

/** The port closes first; the files of the folder are complete when the processes have ended. */
async function waitUntilEnded({ processes }: State): Promise<void> {
  const place = toProcessPlace()
  if (place === undefined) return
  const here = processes.filter((one) => one.process.place === place)
  const pids = here.flatMap((one) => one.process.pids)
  while (!pids.every(hasEnded)) await Bun.sleep(endPollMs)
}

// At the end: the constants above are set when it runs.
await runCommand(usage, async () => {
  const { values } = parseArgs({ options })
  const deadlineMs = performance.now() + toSeconds(values.timeout) * 1000
  const server = connect(values.url)
  const state = await waitUntilDrained(server, deadlineMs)
  if (values.stop) {
    await server.send('stop', {})
    await waitUntilGone(server)
    await waitUntilEnded(state)
  }
  const verb = values.stop ? 'stopped' : 'drained'
  const undelivered = countUndelivered(state)
  const folders = toFolders(state)
  if (undelivered === 0 && folders.length === 0) {
    console.log(`${verb}; 0 events undelivered`)
    return
  }
  const events = `${undelivered} events undelivered`
  throw new CommandError(
    `${values.stop ? 'stopped' : 'not drained'}; ${events}; they stay in the journal in ${folders.join(', ')}`,
    undeliveredExitCode,
  )
})
