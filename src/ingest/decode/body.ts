import { IngestError } from '../../core/errors.ts'
import type { DecodedBody, DecodeRules, IngestRequest } from '../../core/protocol.ts'
import type { AdmissionTicket } from '../load-shedding/admission-ticket.ts'
import { type Codec, decompress, isGzip, toCodec } from './decompress.ts'
import { type Hint, isFormLike, parseForm, parseMultipart, toHint } from './form.ts'
import { decompressLz64 } from './lz64.ts'
import { parseSmallJson, toWorkBytes } from './parse-json.ts'
import { isBlank, isJsonLike, type Payload, payloadBytes, toText } from './payload.ts'

/**
 * Bodies up to this size, on the wire and at each layer of decoding, are decoded by the thread that
 * serves requests: this takes a few milliseconds at most. Larger ones are work for the body thread.
 */
export const smallBodyBytesMax = 128 * 1024

export type WrappedBody = {
  request: Pick<IngestRequest, 'method' | 'query' | 'headers'>
  body: Uint8Array
  rules: DecodeRules
  /** Bound of the body at each layer. */
  bytesMax: number
  /** Charged with all bytes that stay in memory, before they are allocated where possible. */
  ticket: Pick<AdmissionTicket, 'charge'>
}

export type DecodeInput = Omit<WrappedBody, 'bytesMax' | 'ticket'> & {
  ticket: Pick<AdmissionTicket, 'charge' | 'reserveWork'>
}

/**
 * Parses the JSON of a small body. Undefined if the body is large, or if parsing it would hold the
 * thread: then it is left untouched. Synchronous, unless it waits for memory. Throws or rejects
 * with empty_body, invalid_encoding, invalid_json, nesting_too_deep, too_many_names, body_too_large
 * and the ticket's too_busy.
 */
export function decodeSmallBody(
  input: DecodeInput,
): DecodedBody | undefined | Promise<DecodedBody | undefined> {
  const payload = unwrapSmall(input)
  if (payload === undefined) return undefined
  assertFilled(payload)
  const decodedBytes = payloadBytes(payload)
  const { ticket } = input
  const toBody = () => {
    const value = parseSmallJson(toText(payload), ticket)
    return value === undefined ? undefined : { value, decodedBytes }
  }
  if (decodedBytes <= chargedBytesMax) {
    ticket.charge(decodedBytes)
    return toBody()
  }
  const waiting = ticket.reserveWork(toWorkBytes(decodedBytes))
  return waiting ? waiting.then(toBody) : toBody()
}

/** A larger body reserves the memory of all the work on it; a smaller one charges only its text. */
const chargedBytesMax = 64 * 1024

/** Undefined if a layer is large. */
function unwrapSmall(input: DecodeInput): Payload | undefined {
  if (input.body.length > smallBodyBytesMax) return undefined
  if (isBare(input)) return input.body
  const bytesMax = Math.min(smallBodyBytesMax, input.rules.bodyBytesMax)
  try {
    const payload = unwrapBody({ ...input, bytesMax })
    return payloadBytes(payload) > bytesMax ? undefined : payload
  } catch (error) {
    const isLarge = error instanceof IngestError && error.code === 'body_too_large'
    if (isLarge && bytesMax < input.rules.bodyBytesMax) return undefined
    throw error
  }
}

/** Throws empty_body. */
export function assertFilled(payload: Payload): void {
  if (isBlank(payload)) throw new IngestError('empty_body', 'the request has no body')
}

/** Fast path for plain JSON, which most bodies are; hints do not matter then. */
function isBare({ request, body, rules }: Omit<WrappedBody, 'bytesMax' | 'ticket'>): boolean {
  if (!isJsonLike(body) || (rules.forms && request.query.get('data'))) return false
  return toCodec(request.headers.get('content-encoding')) === undefined
}

/**
 * Takes a request's JSON out of its layers of compression, base64 and forms. Order and leniency
 * follow PostHog's capture service. Throws invalid_encoding, body_too_large and the ticket's
 * too_busy.
 */
export function unwrapBody(input: WrappedBody): Payload {
  if (isBare(input)) return input.body
  let current = toWrapped(input)
  while (current.layers <= layersMax) {
    const next = unwrapLayer(current)
    if (next === undefined) return current.payload
    current = next
  }
  throw new IngestError('invalid_encoding', `the body is wrapped more than ${layersMax} times`)
}

/**
 * The deepest nesting of real clients is base64 of gzip in a form in gzip; one more is allowed.
 * Each layer costs a body.
 */
const layersMax = 5

/** A payload and what is known about its remaining layers. Each hint applies to one layer. */
type Wrapped = {
  payload: Payload
  rules: DecodeRules
  bytesMax: number
  ticket: Pick<AdmissionTicket, 'charge'>
  /** From `?compression=`, else from the form. */
  hint: Hint | undefined
  /** From Content-Encoding; used if there is no `hint`. */
  headerHint: Hint | undefined
  codec: Codec | undefined
  /** `declared` by the content type; `possible`: the body's first bytes decide. */
  form: 'declared' | 'possible' | 'done'
  /** The payload is the value of a `data` field, where base64 may lack padding. */
  inField: boolean
  layers: number
}

function toWrapped({ request, body, rules, bytesMax, ticket }: WrappedBody): Wrapped {
  const encoding = request.headers.get('content-encoding')
  const codec = toCodec(encoding)
  const bare = {
    payload: body,
    rules,
    bytesMax,
    ticket,
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
  const type = request.headers.get('content-type')
  const parts = parseMultipart(body, type)
  if (parts?.data) {
    const partHint = hint ?? toHint(parts.compression)
    return { ...hinted, hint: partHint, payload: parts.data, inField: true }
  }
  const isForm = type?.toLowerCase().includes('x-www-form-urlencoded')
  return { ...hinted, form: isForm ? 'declared' : 'possible' }
}

/** Undefined if no layer is left. */
function unwrapLayer(wrapped: Wrapped): Wrapped | undefined {
  const { payload } = wrapped
  if (typeof payload !== 'string') {
    if (isGzip(payload)) return unwrapCodec(wrapped, payload, 'gzip')
    if (wrapped.codec) return unwrapCodec(wrapped, payload, wrapped.codec)
  }
  if (isJsonLike(payload)) return undefined
  if (wrapped.form === 'declared' || (wrapped.form === 'possible' && isFormLike(payload))) {
    return unwrapForm(wrapped)
  }
  return unwrapLz64(wrapped) ?? unwrapBase64(wrapped)
}

const hintOf = ({ hint, headerHint }: Wrapped) => hint ?? headerHint
const noHints = { hint: undefined, headerHint: undefined } as const

function unwrapCodec(wrapped: Wrapped, bytes: Uint8Array, codec: Codec): Wrapped {
  const toNext = (payload: Payload) => toLayer(wrapped, { payload, codec: undefined })
  try {
    return toNext(decompress(codec, bytes, wrapped))
  } catch (error) {
    // A proxy may have decompressed the body and kept Content-Encoding.
    const isInvalid = error instanceof IngestError && error.code === 'invalid_encoding'
    if (isInvalid && isJsonLike(bytes)) return toNext(bytes)
    throw error
  }
}

/**
 * A declared form without `data` is read as it stands: some clients send plain JSON under this
 * content type.
 */
function unwrapForm(wrapped: Wrapped): Wrapped {
  const { data, compression } = parseForm(toText(wrapped.payload))
  if (data === undefined) return toLayer(wrapped, { form: 'done' })
  wrapped.ticket.charge(data.length)
  const hint = wrapped.hint ?? toHint(compression)
  return toLayer(wrapped, { payload: data, hint, form: 'done', inField: true })
}

/** Any base64 decompresses to something as lz64. If the result is not JSON, the hint was wrong. */
function unwrapLz64(wrapped: Wrapped): Wrapped | undefined {
  if (hintOf(wrapped) !== 'lz64') return undefined
  const { payload, bytesMax, ticket } = wrapped
  const base64 = toText(payload).trimEnd().replaceAll(' ', '+')
  const text = decompressLz64(base64, { bytesMax, ticket })
  if (text === undefined || !isJsonLike(text)) return undefined
  return toLayer(wrapped, { ...noHints, payload: text, inField: false })
}

/** Undefined if the payload is not base64, or if the contract does not allow it here. */
function unwrapBase64(wrapped: Wrapped): Wrapped | undefined {
  const { payload, rules, ticket } = wrapped
  const isHinted = hintOf(wrapped) === 'base64'
  const isLoose = wrapped.inField || isHinted
  if (!isLoose && !rules.base64) return undefined
  const bytes = decodeBase64(payload, isLoose)
  if (bytes === undefined) return undefined
  ticket.charge(bytes.length)
  return toLayer(wrapped, { ...(isHinted ? noHints : {}), payload: bytes, inField: false })
}

function toLayer(wrapped: Wrapped, changes: Partial<Wrapped>): Wrapped {
  return { ...wrapped, ...changes, layers: wrapped.layers + 1 }
}

/** Enough to recognise base64 without reading a large body twice. */
const headLength = 128
const strictHead = /^[A-Za-z0-9+/]+={0,2}\s*$/
const looseHead = /^[A-Za-z0-9+/_ \r\n-]+={0,2}\s*$/

/**
 * Undefined if the payload is not base64. A body must consist of whole groups of four characters.
 * `isLoose`, for fields, also accepts missing padding, spaces where a `+` was not escaped, and the
 * alphabet of base64url.
 */
function decodeBase64(payload: Payload, isLoose: boolean): Uint8Array | undefined {
  const head = toText(payload.slice(0, headLength))
  if (!(isLoose ? looseHead : strictHead).test(head)) return undefined
  const text = toText(payload).trimEnd()
  if (!isLoose && text.length % 4 !== 0) return undefined
  try {
    return Uint8Array.fromBase64(withoutPadding(isLoose ? toStandardBase64(text) : text))
  } catch {
    return undefined
  }
}

const toStandardBase64 = (text: string) =>
  text.replaceAll(' ', '+').replaceAll('-', '+').replaceAll('_', '/')

function withoutPadding(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === '=') end -= 1
  return text.slice(0, end)
}
