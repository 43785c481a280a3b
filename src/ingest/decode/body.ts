import { IngestError } from '../../core/errors.ts'
import type { DecodedBody, DecodeRules, IngestRequest } from '../../core/protocol.ts'
import { type Codec, decompress, isGzip, toCodec } from './decompress.ts'
import { type Hint, isFormLike, parseForm, toHint } from './form.ts'
import { decompressLz64 } from './lz64.ts'
import { parseJson, toWorkBytes } from './parse-json.ts'
import { discard, isBlank, isJsonLike, type Payload, payloadBytes, toText } from './payload.ts'
import { createTurns } from './turns.ts'

export type DecodeInput = {
  request: Pick<IngestRequest, 'method' | 'query' | 'headers'>
  body: Uint8Array
  rules: DecodeRules
  /** Charges the intake's room with what is about to stay in memory, in bytes; throws `too_busy`. */
  grow(bytes: number): void
  /** The same for the work on a large body; it may have to be waited for. */
  makeRoom(bytes: number): Promise<void> | undefined
}

/**
 * A request's JSON, whatever it is wrapped in. Answers at once unless a body is so large that it is
 * decompressed on another thread. Throws or rejects with empty_body, invalid_encoding, invalid_json,
 * nesting_too_deep, body_too_large and what `grow` throws. Order and leniency: PostHog's capture service.
 * A large `body` may be empty afterwards.
 */
export function decodeBody(input: DecodeInput): DecodedBody | Promise<DecodedBody> {
  const bare = isBare(input) ? input.body : unwrap(toWrapped(input))
  if (typeof bare !== 'function') return toDecoded(bare, input)
  return openInTurn(bare, input)
}

/** JSON as it stands, whatever hints say: most requests are, and need no wrappings looked for. */
function isBare({ request, body, rules }: DecodeInput): boolean {
  if (!isJsonLike(body) || (rules.forms && request.query.get('data'))) return false
  return toCodec(request.headers.get('content-encoding')) === undefined
}

/**
 * Large bodies that are opened, or wait for room, at once. More would be no faster on zlib's few threads, and
 * hundreds of half-opened ones are memory that the collector sees too late: beyond a line of them they are refused.
 */
const takeTurn = createTurns({ max: 1, waitingMax: 64 })

async function openInTurn(open: Later<Payload>, input: DecodeInput): Promise<DecodedBody> {
  let hasTurn = false
  try {
    return await takeTurn(async () => {
      hasTurn = true
      return toDecoded(await open(), input)
    })
  } finally {
    // Once zlib had it, it is zlib's.
    if (!hasTurn) discard(input.body)
  }
}

/** base64 of gzip in a form in gzip, and one to spare: nobody wraps deeper, and each layer costs a body. */
const layersMax = 5

/** A payload with what is still known of its wrappings; each hint serves one layer. */
type Wrapped = {
  payload: Payload
  rules: DecodeRules
  grow(bytes: number): void
  /** By the query, else by the form; and by Content-Encoding, for want of both. */
  hint: Hint | undefined
  headerHint: Hint | undefined
  codec: Codec | undefined
  /** Where a form may still be found: its content type says so, or the body itself has to. */
  form: 'declared' | 'possible' | 'done'
  /** The payload is the value of a `data` field, where base64 needs no exact length. */
  inField: boolean
  layers: number
}

function toWrapped({ request, body, rules, grow }: DecodeInput): Wrapped {
  const encoding = request.headers.get('content-encoding')
  const codec = toCodec(encoding)
  const bare = {
    payload: body,
    rules,
    grow,
    codec,
    form: 'done',
    inField: false,
    layers: 0,
  } as const
  if (!rules.forms) return { ...bare, hint: undefined, headerHint: undefined }
  const hint = toHint(request.query.get('compression'))
  const hinted = { ...bare, hint, headerHint: toHint(encoding) }
  const field = request.query.get('data')
  if (field) return { ...hinted, payload: field, inField: true }
  const type = request.headers.get('content-type')?.toLowerCase()
  return { ...hinted, form: type?.includes('x-www-form-urlencoded') ? 'declared' : 'possible' }
}

/** Goes on once it is called, on another thread. */
type Later<T> = () => Promise<T>

function unwrap(wrapped: Wrapped): Payload | Later<Payload> {
  let current = wrapped
  while (current.layers <= layersMax) {
    const next = peel(current)
    if (next === undefined) return current.payload
    if (typeof next === 'function') return async () => unwrapNow(await next())
    current = next
  }
  throw new IngestError('invalid_encoding', `the body is wrapped more than ${layersMax} times`)
}

/** Within a turn the layers below need none of their own. */
function unwrapNow(wrapped: Wrapped): Payload | Promise<Payload> {
  const payload = unwrap(wrapped)
  return typeof payload === 'function' ? payload() : payload
}

/** Takes off one layer; undefined where none is left. */
function peel(wrapped: Wrapped): Wrapped | Later<Wrapped> | undefined {
  const { payload } = wrapped
  if (typeof payload !== 'string') {
    if (isGzip(payload)) return peelCodec(wrapped, payload, 'gzip')
    if (wrapped.codec) return peelCodec(wrapped, payload, wrapped.codec)
  }
  if (isJsonLike(payload)) return undefined
  if (wrapped.form === 'declared' || (wrapped.form === 'possible' && isFormLike(payload))) {
    return peelForm(wrapped)
  }
  return peelLz64(wrapped) ?? peelBase64(wrapped)
}

const hintOf = ({ hint, headerHint }: Wrapped) => hint ?? headerHint
const used = { hint: undefined, headerHint: undefined } as const

function peelCodec(wrapped: Wrapped, bytes: Uint8Array, codec: Codec) {
  const { rules, grow } = wrapped
  const toNext = (payload: Payload) => toLayer(wrapped, { payload, codec: undefined })
  /** A proxy that decompresses may leave the header as it was. */
  const toPlain = (error: unknown) => {
    const isPlain = error instanceof IngestError && error.code === 'invalid_encoding'
    if (isPlain && isJsonLike(bytes)) return toNext(bytes)
    throw error
  }
  try {
    const opened = decompress(codec, bytes, { bytesMax: rules.bodyBytesMax, grow })
    return typeof opened === 'function' ? () => opened().then(toNext, toPlain) : toNext(opened)
  } catch (error) {
    return toPlain(error)
  }
}

/** What claims to be a form and has no `data` is taken as it stands: clients mislabel plain JSON so. */
function peelForm(wrapped: Wrapped): Wrapped {
  const { data, compression } = parseForm(toText(wrapped.payload))
  if (data === undefined) return toLayer(wrapped, { form: 'done' })
  wrapped.grow(data.length)
  const hint = wrapped.hint ?? toHint(compression)
  return toLayer(wrapped, { payload: data, hint, form: 'done', inField: true })
}

/** Any base64 opens to something as lz64: what is no JSON then is packed otherwise, whatever the hint says. */
function peelLz64(wrapped: Wrapped): Wrapped | undefined {
  if (hintOf(wrapped) !== 'lz64') return undefined
  const { payload, rules, grow } = wrapped
  const base64 = toText(payload).trimEnd().replaceAll(' ', '+')
  const text = decompressLz64(base64, { bytesMax: rules.bodyBytesMax, grow })
  if (text === undefined || !isJsonLike(text)) return undefined
  return toLayer(wrapped, { ...used, payload: text, inField: false })
}

/** What looks like base64 and is not stays as it is. */
function peelBase64(wrapped: Wrapped): Wrapped | undefined {
  const { payload, rules, grow } = wrapped
  const isHinted = hintOf(wrapped) === 'base64'
  const isLoose = wrapped.inField || isHinted
  if (!isLoose && !rules.base64) return undefined
  const bytes = decodeBase64(payload, isLoose)
  if (bytes === undefined) return undefined
  grow(bytes.length)
  return toLayer(wrapped, { ...(isHinted ? used : {}), payload: bytes, inField: false })
}

function toLayer(wrapped: Wrapped, changes: Partial<Wrapped>): Wrapped {
  return { ...wrapped, ...changes, layers: wrapped.layers + 1 }
}

function toDecoded(payload: Payload, input: DecodeInput): DecodedBody | Promise<DecodedBody> {
  if (isBlank(payload)) throw new IngestError('empty_body', 'the request has no body')
  const decodedBytes = payloadBytes(payload)
  const { rules, grow, makeRoom } = input
  if (decodedBytes > rules.bodyBytesMax) {
    throw new IngestError('body_too_large', `the body exceeds ${rules.bodyBytesMax} bytes`)
  }
  if (decodedBytes <= largeAbove) {
    grow(decodedBytes)
    return { value: parseJson(toText(payload), grow), decodedBytes }
  }
  const toValue = () => ({ value: parseJson(takeText(payload), grow), decodedBytes })
  const waiting = makeRoom(toWorkBytes(decodedBytes))
  return waiting ? waiting.then(toValue) : toValue()
}

/** Beyond it a body is charged with all that it will come to, where below its text will do. */
const largeAbove = 64 * 1024

/** The bytes are given back at once. */
function takeText(payload: Payload): string {
  const text = toText(payload)
  discard(payload)
  return text
}

/**
 * The bytes of a base64 payload; undefined where it is none. A body must have whole groups of four; `isLoose`
 * takes what fields hold: no padding, and a space where a `+` was not escaped.
 */
export function decodeBase64(payload: Payload, isLoose: boolean): Uint8Array | undefined {
  const head = toText(payload.slice(0, headLength))
  if (!(isLoose ? looseHead : strictHead).test(head)) return undefined
  const text = toText(payload).trimEnd()
  if (!isLoose && text.length % 4 !== 0) return undefined
  try {
    return Uint8Array.fromBase64(withoutPadding(isLoose ? text.replaceAll(' ', '+') : text))
  } catch {
    return undefined
  }
}

/** Enough to tell base64 from anything else without reading a large body twice. */
const headLength = 128
const strictHead = /^[A-Za-z0-9+/]+={0,2}\s*$/
const looseHead = /^[A-Za-z0-9+/ \r\n]+={0,2}\s*$/

function withoutPadding(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === '=') end -= 1
  return text.slice(0, end)
}
