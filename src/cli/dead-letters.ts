import { parseArgs } from 'node:util'
import { toJson, toLine } from '../core/printable.ts'
import {
  CommandError,
  connect,
  connectionOptions,
  type Document,
  runCommand,
  type ServerConnection,
  toTime,
  usageFault,
} from './connection.ts'

const usage = `usage: bun run dead-letters list [FILTER] [--limit N] [--json]
       bun run dead-letters groups [--json]
       bun run dead-letters show UUID [--json]
       bun run dead-letters resend UUID [--event FILE] [--dry-run] [--json]
       bun run dead-letters resend --all [FILTER] [--dry-run] [--json]

FILTER: --project P --contract C --reason R --stage S

  groups     count them by project and reason
  resend     send the event through the pipeline again; what is stored already is not stored twice
  --event    JSON file with the repaired event, instead of the one in the letter
  --all      every letter that matches; the exit code is 1 if one of them was not stored
  --dry-run  store nothing; tell what would happen
  --url      address of the server; else SPILLWAY_URL, or this machine with ADMIN_PORT or PORT
             The token is taken from ADMIN_TOKEN.`

const options = {
  ...connectionOptions,
  project: { type: 'string' },
  contract: { type: 'string' },
  reason: { type: 'string' },
  stage: { type: 'string' },
  limit: { type: 'string' },
  event: { type: 'string' },
  all: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof readArguments>['values']

const readArguments = () => parseArgs({ options, allowPositionals: true })

const toFilter = ({ project, contract, reason, stage }: Values) => ({
  ...(project === undefined ? {} : { project }),
  ...(contract === undefined ? {} : { contract }),
  ...(reason === undefined ? {} : { reason }),
  ...(stage === undefined ? {} : { stage }),
})

async function list(server: ServerConnection, values: Values): Promise<void> {
  const { limit } = values
  const parameters = { ...toFilter(values), limit }
  const { letters } = await server.read('dead-letters', parameters)
  for (const letter of letters) console.log(values.json ? toJson(letter) : toLetterLine(letter))
  if (letters.length === 0) throw new CommandError('no dead letter matches')
}

async function listGroups(server: ServerConnection, { json }: Values): Promise<void> {
  const { groups } = await server.read('dead-letters/groups')
  // To have none is good, so this is no failure.
  if (groups.length === 0) console.error('there are no dead letters of the last 7 days')
  for (const group of groups) {
    const { events, contract, project, reason, last_ms, hint } = group
    const text = `${events} ${contract} ${reason} in ${project || '(no project)'}, last ${toTime(last_ms)}; ${hint}`
    console.log(json ? toJson(group) : toLine(text))
  }
}

async function show(server: ServerConnection, uuid: string, { json }: Values): Promise<void> {
  const { letter } = await server.read('dead-letters/show', { uuid })
  if (json) return console.log(toJson(letter))
  const { why_not: whyNot, hint, raw, client_ip: ip } = letter
  console.log(toLetterLine(letter))
  console.log(toLine(`what to do: ${hint}`))
  console.log(toLine(`from: ${ip}`))
  if (whyNot !== null) console.log(toLine(`it cannot be sent again: ${whyNot}`))
  console.log(toLine(raw))
}

function toLetterLine({ uuid, received_ms, contract, project, reason, detail }: Document): string {
  return toLine(
    `${uuid} ${toTime(received_ms)} ${contract} ${reason} in ${project || '(no project)'}: ${detail}`,
  )
}

async function resend(server: ServerConnection, uuid: string, values: Values): Promise<void> {
  const event = values.event === undefined ? undefined : await readEvent(values.event)
  const body = { uuid, dry_run: values['dry-run'], ...(event ? { event } : {}) }
  const { result } = await server.send('dead-letters/resend', body)
  console.log(values.json ? toJson(result) : toResultLine(result))
  if (!isFine(result)) throw new CommandError('the event was not stored')
}

async function readEvent(path: string): Promise<object> {
  try {
    return await Bun.file(path).json()
  } catch (error) {
    throw new CommandError(`--event ${path} cannot be read: ${(error as Error).message}`)
  }
}

async function resendAll(server: ServerConnection, values: Values): Promise<void> {
  const body = { ...toFilter(values), dry_run: values['dry-run'] }
  let end: Document
  for await (const line of server.readLines('dead-letters/resend-all', { body })) {
    const message = JSON.parse(line)
    if (message.type === 'end' || message.type === 'error') end = message
    else if (message.type === 'progress') showProgress(message)
    else if (values.json) console.log(toJson(message))
    else if (!isFine(message)) console.log(toResultLine(message))
  }
  if (process.stderr.isTTY) console.error()
  if (end === undefined) throw new CommandError('the server ended the work before its end')
  console.log(values.json ? toJson(end) : toEndLine(end))
  if (end.type === 'error') throw new CommandError(end.detail)
  if (end.rejected + end.limited + end.skipped + end.failed > 0)
    throw new CommandError('some events were not stored')
}

/** On a terminal one line that changes. */
function showProgress({ done, total }: Document): void {
  const text = `${done} of ${total}`
  process.stderr.write(process.stderr.isTTY ? `\r${text}` : `${text}\n`)
}

const isFine = ({ verdict }: Document) => /^(?:would_be_)?(?:stored|duplicate)$/.test(verdict)

function toResultLine({ uuid, verdict, reason, message, event_uuid }: Document): string {
  const why = reason === null ? '' : ` ${reason}: ${message}`
  return toLine(`${uuid} ${verdict}${event_uuid === null ? '' : ` as ${event_uuid}`}${why}`)
}

function toEndLine({ stored, duplicate, rejected, limited, skipped, failed, dry_run }: Document) {
  const counts = { stored, 'stored already': duplicate, rejected, limited, skipped, failed }
  const text = Object.entries(counts).map(([name, count]) => `${count} ${name}`)
  return `${dry_run ? 'dry run: ' : ''}${text.join(', ')}`
}

// At the end: the constants above are set when it runs.
await runCommand(usage, async () => {
  const { values, positionals } = readArguments()
  const [action, uuid, ...others] = positionals
  const server = connect(values.url)
  if (others.length > 0) throw usageFault(`${others[0]} is one argument too many`, usage)
  if (action === 'list' && uuid === undefined) return await list(server, values)
  if (action === 'groups' && uuid === undefined) return await listGroups(server, values)
  if (action === 'show' && uuid !== undefined) return await show(server, uuid, values)
  if (action === 'resend' && values.all && uuid === undefined)
    return await resendAll(server, values)
  if (action === 'resend' && !values.all && uuid !== undefined)
    return await resend(server, uuid, values)
  throw usageFault('list, groups, show UUID, resend UUID or resend --all is needed', usage)
})
