import { parseArgs } from 'node:util'
import { toJson, toLine } from '../core/printable.ts'
import {
  CommandError,
  connect,
  connectionOptions,
  type Document,
  runCommand,
  toTime,
  usageFault,
} from './connection.ts'

const usage = `usage: bun run trace ID [--follow] [--json] [--url URL]

Shows the way of an event. ID is the uuid of an event, the X-Request-Id of a reply, the client's
own X-Request-Id, or a distinct_id. The exit code is 1 if nothing is found.

  --follow   ask again until the event has reached every sink
  --json     print the document as JSON
  --url      address of the server; else SPILLWAY_URL, or this machine with ADMIN_PORT or PORT
             The token is taken from ADMIN_TOKEN.`

const pauseMs = 1000

const waitingOf = ({ events }: Document): Document[] =>
  events.flatMap(({ stages }: Document) =>
    stages.filter(({ state }: Document) => state === 'waiting'),
  )

/** An event that was sent a moment ago may not be there yet. */
const isOnItsWay = (document: Document) => waitingOf(document).length > 0

function toWaiting(document: Document): string {
  const names = new Set(waitingOf(document).map(({ name, detail }) => `${name} (${detail})`))
  return toLine(`waiting for ${[...names].join(', ')}`)
}

function toText({ events, refusals, searched, notes }: Document): string {
  return [
    ...events.flatMap(toEventLines),
    ...refusals.flatMap(toRefusalLines),
    ...searched.map(
      ({ place, complete, detail }: Document) =>
        `${complete ? 'searched' : 'searched in part'}: ${place}: ${toLine(detail)}`,
    ),
    ...notes.map((note: string) => `note: ${toLine(note)}`),
  ].join('\n')
}

function toEventLines(event: Document): string[] {
  const { uuid, outcome, contract, project, distinct_id, request, duplicate_of, kafka } = event
  const name = toLine(
    `${event.event} of ${distinct_id || '(unknown)'} in ${project || '(no project)'}`,
  )
  const line = (label: string, text: string) => `  ${label.padEnd(12)} ${toLine(text)}`
  return [
    `${outcome.toUpperCase()} ${contract} ${uuid} ${name}`,
    line('received', toTime(event.received_ms)),
    ...(request
      ? [
          line(
            'request',
            `${request.id} ${request.method} ${request.path} from ${request.client_ip}`,
          ),
        ]
      : []),
    ...(duplicate_of
      ? [line('same as', `${duplicate_of.uuid} received ${toTime(duplicate_of.received_ms)}`)]
      : []),
    ...(event.reason ? [line('reason', `${event.reason}: ${event.message}`)] : []),
    ...(event.hint ? [line('what to do', event.hint)] : []),
    ...(event.dead_letter_uuid ? [line('dead letter', event.dead_letter_uuid)] : []),
    ...event.stages.map(({ name, state, since_ms, detail }: Document) =>
      line(
        name,
        `${outcome === 'duplicate' && state === 'failed' ? 'skipped' : state}${since_ms ? ` since ${toTime(since_ms)}` : ''} ${detail}`,
      ),
    ),
    ...(kafka ? [line('topic', `${kafka.topic} partition ${kafka.partition ?? 'unknown'}`)] : []),
    ...(event.row ? [line(event.row.table, toJson(event.row.columns))] : []),
    '',
  ]
}

function toRefusalLines(refusal: Document): string[] {
  const { contract, status, reason, message, hint, request_id, at_ms, client_ip, body } = refusal
  return [
    `REFUSED ${contract} ${status} ${toLine(reason)}: ${toLine(message)}`,
    `  received     ${toTime(at_ms)} ${request_id} from ${client_ip}`,
    `  what to do   ${toLine(hint)}`,
    ...(body ? [`  body         ${toLine(body.text)}${body.cut ? ' …' : ''}`] : []),
    '',
  ]
}

// At the end: the constants above are set when it runs.
await runCommand(usage, async () => {
  const options = { ...connectionOptions, follow: { type: 'boolean', default: false } } as const
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  const [id, ...others] = positionals
  if (id === undefined || others.length > 0) throw usageFault('one ID is needed', usage)
  const server = connect(values.url)
  let document = await server.read('trace', { id })
  while (values.follow && isOnItsWay(document)) {
    console.error(toWaiting(document))
    await Bun.sleep(pauseMs)
    document = await server.read('trace', { id })
  }
  console.log(values.json ? toJson(document) : toText(document))
  if (!document.found) throw new CommandError('nothing was found')
})
