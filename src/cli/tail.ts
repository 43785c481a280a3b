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

const usage = `usage: bun run tail [--project P] [--contract C] [--event E] [--distinct-id D] [--outcome O]
                    [--count N] [--json] [--url URL]

Shows events as they pass: a sample, at most some 400 a second. E and D may end in *.

  --contract capture, link, report or telemetry
  --outcome  stored, duplicate, quota_dropped, rejected or refused
  --count    end after so many events
  --json     print each event as a line of JSON
  --url      address of the server; else SPILLWAY_URL, or this machine with ADMIN_PORT or PORT
             The token is taken from ADMIN_TOKEN.`

const options = {
  ...connectionOptions,
  project: { type: 'string' },
  contract: { type: 'string' },
  event: { type: 'string' },
  'distinct-id': { type: 'string' },
  outcome: { type: 'string' },
  count: { type: 'string' },
} as const

function toCount(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw usageFault(`--count ${JSON.stringify(text)} is not a number above 0`, usage)
}

function toText(event: Document): string {
  const { at_ms, outcome, contract, project, distinct_id, uuid, request_id, reason } = event
  const what = `${event.event || '(no name)'} of ${distinct_id || '(unknown)'} in ${project || '(no project)'}`
  const why = reason === null ? '' : ` ${reason}: ${event.message}; ${event.hint}`
  return toLine(
    `${toTime(at_ms)} ${outcome.padEnd(9)} ${contract.padEnd(9)} ${what} ${uuid ?? request_id}${why}`,
  )
}

// At the end: the constants above are set when it runs.
await runCommand(usage, async () => {
  const { values } = parseArgs({ options })
  const { project, contract, event, outcome } = values
  const parameters = { project, contract, event, outcome, distinct_id: values['distinct-id'] }
  let left = toCount(values.count)
  for await (const line of connect(values.url).readLines('live', { parameters })) {
    if (!line.startsWith('data: ')) continue
    const { events = [], skipped = 0 } = JSON.parse(line.slice('data: '.length))
    for (const one of events.slice(0, left)) console.log(values.json ? toJson(one) : toText(one))
    if (skipped > 0) console.error(`${skipped} more events passed`)
    left -= events.length
    if (left <= 0) return
  }
  throw new CommandError('the server ended the stream; it has stopped, or a proxy closed it')
})
