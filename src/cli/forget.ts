import { parseArgs } from 'node:util'
import type { ForgetState } from '../console/forget-routes.ts'
import { toJson, toLine } from '../core/printable.ts'
import {
  CommandError,
  connect,
  connectionOptions,
  runCommand,
  type ServerConnection,
  usageFault,
} from './connection.ts'

const usage = `usage: bun run forget PROJECT DISTINCT_ID [--json] [--url URL]

Deletes the rows of a person from all tables of ClickHouse: of events, recordings, link events and
dead letters. Waits until what a running server has received of the person is delivered, and deletes
it too. Safe to repeat. Records in Kafka stay; those of the archive stay, but no replay sends them.
Stop sending first, and call it for each node.

  PROJECT as in the column project: with a projects file the id of the project, not its token

  --json  print the document as JSON
  --url   address of the server; else SPILLWAY_URL, or this machine with ADMIN_PORT or PORT
          The token is taken from ADMIN_TOKEN.

Exit code: 0 if everything is deleted.`

const projectHint =
  'PROJECT is as in the column project: with a projects file the id of the project, else its token, key or app'

const pollMs = 250
/** A line without news, so that a person sees that the command still waits. */
const quietMs = 10_000

type State = { processes: ForgetState[]; complete: boolean; notes: string[] }

async function waitUntilDone(server: ServerConnection, person: Person): Promise<State> {
  let state: State = await server.send('forget', person)
  let printedMs = performance.now()
  while (state.processes.some((one) => one.state === 'running')) {
    if (performance.now() - printedMs > quietMs) {
      printedMs = performance.now()
      console.error(toLine(toProgress(state)))
    }
    await Bun.sleep(pollMs)
    state = await server.read('forget', person)
  }
  return state
}

type Person = { project: string; distinct_id: string }

function toProgress({ processes }: State): string {
  const lacking = processes.flatMap(({ sinks }) =>
    Object.entries(sinks).flatMap(([name, { waiting, last_error: error }]) =>
      waiting > 0 ? [`${name} lacks ${waiting} events${error ? ` (${error})` : ''}`] : [],
    ),
  )
  return ['deleting', ...lacking].join(', ')
}

function toText({ processes, notes }: State): string {
  const deleted = new Map<string, number>()
  for (const one of processes)
    for (const [table, rows] of Object.entries(one.deleted))
      deleted.set(table, (deleted.get(table) ?? 0) + rows)
  const others = new Set(processes.flatMap((one) => one.others))
  const hasNoTables = deleted.size === 0 && processes.every((one) => one.state === 'done')
  return [
    ...[...deleted].map(([table, rows]) => `deleted ${rows} rows of ${table}`),
    ...(hasNoTables ? ['this server has no ClickHouse; nothing was deleted'] : []),
    ...(hasNone(deleted) ? [`no row has this project and this distinct_id; ${projectHint}`] : []),
    ...(others.size > 0 ? [`the person has other ids, too: ${[...others].join(', ')}`] : []),
    ...notes,
  ]
    .map(toLine)
    .join('\n')
}

const hasNone = (deleted: ReadonlyMap<string, number>) =>
  deleted.size > 0 && [...deleted.values()].every((rows) => rows === 0)

await runCommand(usage, async () => {
  const { url, json } = connectionOptions
  const options = { url, json, help: connectionOptions.help } as const
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  const [project, id, ...rest] = positionals
  if (!project || !id || rest.length > 0)
    throw usageFault('name a project and a distinct_id', usage)
  const state = await waitUntilDone(connect(values.url), { project, distinct_id: id })
  const text = values.json ? toJson(state) : toText(state)
  if (text !== '') console.log(text)
  const failed = state.processes.flatMap((one) => one.error ?? [])
  if (failed.length > 0) throw new CommandError(`${failed.join('; ')}; call it again`)
  if (!state.complete) throw new CommandError('not every process answered; call it again')
})
