import type { ProtocolName } from '../core/protocol.ts'
import type { ClickHouseReader } from './clickhouse.ts'
import {
  countLetters,
  groupLetters,
  type KeptLetter,
  type LetterFilter,
  listLetters,
  readLetter,
} from './dead-letters.ts'
import {
  ConsoleError,
  invalid,
  onAbort,
  once,
  type QueryParameters,
  readObject,
  safeHeaders,
} from './exchange.ts'
import { contracts } from './figures.ts'
import { findStoredUuids } from './lookups.ts'
import { type ParcelOptions, toParcel } from './parcel.ts'
import type { Resender, ResendOutcome } from './resend.ts'
import type { ConsoleRoutes } from './routes.ts'

export type DeadLetterParts = {
  clickhouse: ClickHouseReader
  resender: Resender
  contracts: ParcelOptions['contracts']
  now(): number
  /** Aborts when the server stops. */
  closing: AbortSignal
}

type ResendResult = { uuid: string } & (
  | ResendOutcome
  | (Omit<ResendOutcome, 'verdict'> & { verdict: 'skipped' })
)

export function deadLetterRoutes(parts: DeadLetterParts): ConsoleRoutes {
  const { clickhouse } = parts
  return {
    'GET dead-letters/groups': async ({ parameters }) => {
      const days = parameters.integer('days', { min: 1, max: 90, fallback: 7 })
      parameters.assertAllRead()
      return { groups: await groupLetters(clickhouse, days), notes: [] }
    },
    'GET dead-letters': async ({ parameters }) => {
      const limit = parameters.integer('limit', { min: 1, max: 200, fallback: 50 })
      const beforeMs = parameters.integer('before_ms', { min: 0, max: timeMax, fallback: timeMax })
      const filter = { ...toFilter(parameters), before_ms: beforeMs }
      parameters.assertAllRead()
      const letters = await listLetters(clickhouse, filter, limit)
      const last = letters.length < limit ? undefined : letters.at(-1)
      return { letters, next_before_ms: last?.received_ms ?? null, notes: [] }
    },
    'GET dead-letters/show': async ({ parameters }) => {
      const uuid = parseUuid(parameters.text('uuid'))
      parameters.assertAllRead()
      return { letter: await readKnown(clickhouse, uuid) }
    },
    ...resendRoutes(parts),
  }
}

/** In ms; the range of DateTime64. */
const timeMax = Date.UTC(2200, 0)
const stages = ['normalise', 'kafka', 'clickhouse'] as const

function toFilter(parameters: QueryParameters): LetterFilter {
  return withoutUndefined({
    project: parameters.text('project'),
    contract: parameters.choice('contract', contracts),
    reason: parameters.text('reason'),
    stage: parameters.choice('stage', stages),
  })
}

const withoutUndefined = <T extends object>(value: T) =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as {
    [Name in keyof T]?: NonNullable<T[Name]>
  }

const uuidShape = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

function parseUuid(value: unknown): string {
  if (typeof value === 'string' && uuidShape.test(value)) return value.toLowerCase()
  throw invalid(`uuid ${JSON.stringify(value) ?? '(none)'} is not a uuid`)
}

async function readKnown(clickhouse: ClickHouseReader, uuid: string): Promise<KeptLetter> {
  const letter = await readLetter(clickhouse, uuid)
  if (letter) return letter
  throw new ConsoleError(404, 'not_found', `there is no dead letter ${uuid}`)
}

/** Above the largest letter, and below what the serving thread may work on at once. */
const editedBytesMax = 64 * 1024

function resendRoutes(parts: DeadLetterParts): ConsoleRoutes {
  let isBusy = false
  return {
    'POST dead-letters/resend': async ({ request }) => {
      const { uuid, event, dry_run: isDry } = await readObject(request)
      const letter = await readKnown(parts.clickhouse, parseUuid(uuid))
      const edited = toEdited(event)
      const { value: result } = await resend(parts, [{ letter, edited }], isDry === true).next()
      return { result }
    },
    'POST dead-letters/resend-all': async ({ request }) => {
      const asked = parseResendAll(await readObject(request))
      if (isBusy)
        throw new ConsoleError(409, 'console_busy', 'another resend is running; wait for its end')
      isBusy = true
      const end = once(() => {
        isBusy = false
      })
      const signal = AbortSignal.any([request.signal, parts.closing])
      // A generator that has not begun does not run its `finally`.
      onAbort(signal, end)
      return toLinesResponse(resendAll(parts, asked, end), signal)
    },
  }
}

function toEdited(event: unknown): string | undefined {
  if (event === undefined || event === null) return undefined
  if (typeof event !== 'object' || Array.isArray(event)) throw invalid('event is not an object')
  const text = JSON.stringify(event)
  const bytes = Buffer.byteLength(text)
  if (bytes <= editedBytesMax) return text
  throw invalid(`event has ${bytes} bytes; at most ${editedBytesMax} can be sent again`)
}

type Asked = { letter: KeptLetter; edited?: string | undefined }

/** Judges all letters first, so that one query tells which events are stored already. */
async function* resend(
  parts: DeadLetterParts,
  asked: readonly Asked[],
  isDry: boolean,
): AsyncGenerator<ResendResult> {
  const judged = await Promise.all(asked.map((one) => judge(parts, one)))
  const uuids = judged.flatMap((one) => one?.tested.event_uuid ?? [])
  const stored = await findStoredUuids(parts.clickhouse, uuids)
  for (const [index, { letter }] of asked.entries()) {
    const { uuid } = letter
    const one = judged[index]
    if (one === undefined) yield toSkipped(letter)
    // The dedup keys are kept for 24 hours; a letter may be sent again after that.
    else if (stored.has(one.tested.event_uuid ?? ''))
      yield {
        uuid,
        ...one.tested,
        ...isStored,
        verdict: isDry ? 'would_be_duplicate' : 'duplicate',
      }
    else if (isDry) yield { uuid, ...one.tested }
    else yield { uuid, ...(await parts.resender.send(one.parcel)) }
  }
}

const isStored = { reason: 'duplicate', message: 'the event is stored already' }

/** Undefined for a letter that cannot be sent again. */
async function judge({ contracts, resender }: DeadLetterParts, { letter, edited }: Asked) {
  const { uuid, project, contract, received_ms: receivedMs, client_ip: clientIp } = letter
  if (!letter.resendable && (edited === undefined || letter.stage !== 'normalise')) return undefined
  const parcel = toParcel({
    contracts,
    protocol: contract as ProtocolName,
    text: edited ?? letter.raw,
    ...{ project, uuid, receivedMs, clientIp },
  })
  return { parcel, tested: await resender.test(parcel) }
}

const toSkipped = ({ uuid, why_not }: KeptLetter): ResendResult => ({
  ...{ uuid, verdict: 'skipped', reason: 'not_resendable', message: why_not },
  ...{ event_uuid: null, request_id: null },
})

type AskedResend = { filter: LetterFilter; isDry: boolean }

function parseResendAll(body: Record<string, unknown>): AskedResend {
  const { dry_run: isDry, ...rest } = body
  const known = ['project', 'contract', 'reason', 'stage', 'from_ms', 'to_ms']
  const unknown = Object.keys(rest).find((name) => !known.includes(name))
  if (unknown !== undefined) throw invalid(`there is no field ${JSON.stringify(unknown)}`)
  const text = (name: string) => {
    const value = rest[name]
    if (value === undefined || value === null || typeof value === 'string')
      return (value ?? undefined) as string | undefined
    throw invalid(`${name} is not a text`)
  }
  const time = (name: string) => {
    const value = rest[name]
    if (value === undefined || value === null) return undefined
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) < timeMax)
      return Number(value)
    throw invalid(`${name} is not a time in ms since 1970`)
  }
  const [project, contract] = [text('project'), text('contract')]
  const [reason, stage] = [text('reason'), text('stage')]
  const times = { from_ms: time('from_ms'), before_ms: time('to_ms') }
  const filter = withoutUndefined({ project, contract, reason, stage, ...times })
  return { filter: filter as LetterFilter, isDry: isDry === true }
}

const pageLetters = 100
/** Of one call. Who has more sends the rest with `to_ms`. */
const resendMax = 100_000

async function* resendAll(
  parts: DeadLetterParts,
  { filter, isDry }: AskedResend,
  onEnd: () => void,
): AsyncGenerator<object> {
  const counts = { stored: 0, duplicate: 0, rejected: 0, limited: 0, skipped: 0, failed: 0 }
  try {
    // Letters that arrive meanwhile are left out.
    let before_ms = filter.before_ms ?? parts.now()
    const total = await countLetters(parts.clickhouse, { ...filter, before_ms })
    let done = 0
    yield { type: 'progress', done, total }
    for (;;) {
      const page = { ...filter, before_ms }
      const letters = await listLetters(parts.clickhouse, page, pageLetters)
      const asked = letters.map((letter) => ({ letter }))
      for await (const result of resend(parts, asked, isDry)) {
        counts[result.verdict.replace('would_be_', '') as keyof typeof counts] += 1
        yield { type: 'result', ...result }
      }
      done += letters.length
      yield { type: 'progress', done, total }
      const last = letters.at(-1)
      if (last === undefined || done >= resendMax) break
      before_ms = last.received_ms
    }
    yield { type: 'end', total: done, ...counts, dry_run: isDry }
  } catch (error) {
    if (!(error instanceof ConsoleError)) throw error
    yield { type: 'error', error: error.code, detail: error.message, ...counts, dry_run: isDry }
  } finally {
    onEnd()
  }
}

/** A line is made when the reader takes the one before, so a reader that goes away ends the work. */
function toLinesResponse(lines: AsyncGenerator<object>, signal: AbortSignal): Response {
  onAbort(signal, () => void lines.return(undefined))
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (signal.aborted) {
        await lines.return(undefined)
        controller.close()
        return
      }
      const { value, done } = await lines.next()
      if (done || value === undefined) controller.close()
      else controller.enqueue(new TextEncoder().encode(`${JSON.stringify(value)}\n`))
    },
    async cancel() {
      await lines.return(undefined)
    },
  })
  return new Response(stream, {
    headers: { ...safeHeaders, 'content-type': 'application/x-ndjson', 'x-accel-buffering': 'no' },
  })
}
