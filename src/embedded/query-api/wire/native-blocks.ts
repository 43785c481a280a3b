import { createQueryError } from '../../chdb/exceptions.ts'

/**
 * chDB writes the format Native for the revision 0 of ClickHouse's protocol. A client that sends
 * `client_protocol_version` expects more fields: information about each block, and since revision
 * 54454 a byte after each type that names its serialization. This adds them while the bytes pass.
 */
export type NativeRewriter = {
  /** Throws QueryError for a column whose end cannot be found. */
  push(chunk: Uint8Array): Uint8Array<ArrayBuffer>
}

/** `is_overflows` = 0 and `bucket_num` = -1, each after its number, then the end. */
const blockInfo = Uint8Array.of(1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0)
const customSerializationRevision = 54_454
const defaultSerialization = Uint8Array.of(0)

export function createNativeRewriter(revision: number): NativeRewriter {
  const source = createSource()
  const hasSerialization = revision >= customSerializationRevision

  function* readBlocks(): Reading<never> {
    for (;;) {
      while (!source.hasMore()) yield
      source.insert(blockInfo)
      const columns = yield* source.varint()
      const rows = yield* source.varint()
      for (let column = 0; column < columns; column += 1) {
        yield* source.skip(yield* source.varint())
        const type = yield* source.text(yield* source.varint())
        if (hasSerialization) source.insert(defaultSerialization)
        const { prefix, data } = toColumn(type)
        if (rows > 0) yield* prefix(source)
        if (rows > 0) yield* data(source, rows)
      }
    }
  }
  const reading = readBlocks()
  reading.next()
  return {
    push(chunk) {
      source.open(chunk)
      reading.next()
      return source.take()
    },
  }
}

/** Yields when it needs the next chunk. */
type Reading<T = void> = Generator<undefined, T, undefined>

type Source = ReturnType<typeof createSource>

/** Passes everything that is read on to the output. */
function createSource() {
  let chunk = new Uint8Array()
  let at = 0
  let copied = 0
  let output: Uint8Array[] = []

  const pass = () => {
    if (at > copied) output.push(chunk.subarray(copied, at))
    copied = at
  }
  function* byte(): Reading<number> {
    while (at === chunk.length) yield
    return chunk[at++]!
  }
  function* varint(): Reading<number> {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const next = at < chunk.length ? chunk[at++]! : yield* byte()
      value += (next & 127) * scale
      if (next < 128) return value
    }
  }
  function* skip(count: number): Reading {
    let left = count
    while (left > chunk.length - at) {
      left -= chunk.length - at
      at = chunk.length
      yield
    }
    at += left
  }
  /** Exact up to 2^53. */
  function* word(): Reading<number> {
    let value = 0
    for (let scale = 1; scale < 2 ** 64; scale *= 256) value += (yield* byte()) * scale
    return value
  }
  function* text(count: number): Reading<string> {
    const bytes = new Uint8Array(count)
    for (let i = 0; i < count; i += 1) bytes[i] = yield* byte()
    return new TextDecoder().decode(bytes)
  }
  /** Skips `count` texts, each after its length. */
  function* texts(count: number): Reading {
    for (let i = 0; i < count; i += 1) {
      const length = chunk[at]
      // A length below 128 is one byte.
      if (length !== undefined && length < 128 && at + length < chunk.length) at += length + 1
      else yield* skip(yield* varint())
    }
  }
  return {
    ...{ byte, varint, skip, word, text, texts },
    hasMore: () => at < chunk.length,
    open(next: Uint8Array) {
      chunk = next as typeof chunk
      at = 0
      copied = 0
    },
    insert(bytes: Uint8Array) {
      pass()
      output.push(bytes)
    },
    take(): Uint8Array<ArrayBuffer> {
      pass()
      const taken = output
      output = []
      return Buffer.concat(taken)
    },
  }
}

/** How the values of a type follow each other. A prefix stands once before all values of a column. */
type Column = {
  prefix(source: Source): Reading
  data(source: Source, rows: number): Reading
}

const sizes: Readonly<Record<string, number>> = {
  ...{ Int8: 1, UInt8: 1, Bool: 1, Enum8: 1, Nothing: 1 },
  ...{ Int16: 2, UInt16: 2, Enum16: 2, Date: 2, BFloat16: 2 },
  ...{ Int32: 4, UInt32: 4, Float32: 4, Date32: 4, DateTime: 4, Time: 4, IPv4: 4 },
  ...{ Int64: 8, UInt64: 8, Float64: 8, DateTime64: 8, Time64: 8 },
  ...{ Int128: 16, UInt128: 16, UUID: 16, IPv6: 16, Int256: 32, UInt256: 32 },
}

const aliases: Readonly<Record<string, string>> = {
  Point: 'Tuple(Float64, Float64)',
  Ring: 'Array(Point)',
  LineString: 'Array(Point)',
  Polygon: 'Array(Ring)',
  MultiLineString: 'Array(LineString)',
  MultiPolygon: 'Array(Polygon)',
}

function* nothing(): Reading {}

const toFixed = (bytes: number): Column => ({
  prefix: nothing,
  data: (source, rows) => source.skip(rows * bytes),
})

function toColumn(type: string): Column {
  const name = /^\w+/.exec(type)?.[0] ?? ''
  const args = splitArguments(type.slice(name.length + 1, -1))
  const [first = '', second = ''] = args
  const alias = aliases[name]
  if (alias !== undefined) return toColumn(alias)
  const bytes = name.startsWith('Interval') ? 8 : sizes[name]
  if (bytes !== undefined) return toFixed(bytes)
  switch (name) {
    case 'String':
      return { prefix: nothing, data: (source, rows) => source.texts(rows) }
    case 'FixedString':
      return toFixed(Number(first))
    case 'Decimal':
      return toFixed(toDecimalBytes(Number(first)))
    case 'Nullable':
      return toSequence([toFixed(1), toColumn(first)])
    case 'Tuple':
      return args.length === 0 ? toFixed(1) : toSequence(args.map(toElement).map(toColumn))
    case 'Array':
      return toArray(toColumn(first))
    case 'Map':
      return toArray(toSequence([toColumn(first), toColumn(second)]))
    case 'Nested':
      return toArray(toSequence(args.map(toElement).map(toColumn)))
    case 'SimpleAggregateFunction':
      return toColumn(args.at(-1) ?? '')
    case 'LowCardinality':
      return toLowCardinality(toColumn(first.replace(/^Nullable\((.*)\)$/s, '$1')))
    case 'Variant':
      return toVariant(args.map(toColumn))
    default:
      throw createQueryError(
        'NOT_IMPLEMENTED',
        `A column of type ${type} cannot be sent in the format Native of this revision; ` +
          'select it as String, or use another format',
      )
  }
}

function toDecimalBytes(precision: number): number {
  if (precision <= 9) return 4
  if (precision <= 18) return 8
  return precision <= 38 ? 16 : 32
}

/** Splits at commas outside of brackets and quotes. */
function splitArguments(text: string): string[] {
  const args: string[] = []
  let depth = 0
  let start = 0
  for (const { 0: mark, index } of text.matchAll(/'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]/gs)) {
    if (mark === '(') depth += 1
    if (mark === ')') depth -= 1
    if (mark !== ',' || depth > 0) continue
    args.push(text.slice(start, index).trim())
    start = index + 1
  }
  const last = text.slice(start).trim()
  return last === '' ? args : [...args, last]
}

/** The type of a tuple's element, which may have a name before it. */
const toElement = (text: string) => text.replace(/^(?:`(?:[^`\\]|\\.)*`|\w+)\s+(?=\w)/s, '')

function toSequence(columns: readonly Column[]): Column {
  return {
    *prefix(source) {
      for (const column of columns) yield* column.prefix(source)
    },
    *data(source, rows) {
      for (const column of columns) yield* column.data(source, rows)
    },
  }
}

/** The offset of each array's end, then the values of all arrays. */
function toArray(element: Column): Column {
  return {
    prefix: element.prefix,
    *data(source, rows) {
      yield* source.skip((rows - 1) * 8)
      const count = yield* source.word()
      if (count > 0) yield* element.data(source, count)
    },
  }
}

/** A dictionary, then an index for each row. */
function toLowCardinality(key: Column): Column {
  const [hasSharedKeys, hasOwnKeys] = [0x100, 0x200]
  return {
    prefix: (source) => source.skip(8),
    *data(source) {
      const flags = yield* source.word()
      for (const flag of [hasSharedKeys, hasOwnKeys]) {
        const count = flags & flag ? yield* source.word() : 0
        if (count > 0) yield* key.data(source, count)
      }
      const count = yield* source.word()
      yield* source.skip(count * 2 ** (flags & 0xff))
    },
  }
}

/** The number of each row's type, then the values of each type. */
function toVariant(columns: readonly Column[]): Column {
  return {
    *prefix(source) {
      yield* source.skip(8)
      for (const column of columns) yield* column.prefix(source)
    },
    *data(source, rows) {
      const counts = columns.map(() => 0)
      for (let row = 0; row < rows; row += 1) {
        const type = yield* source.byte()
        if (type < counts.length) counts[type]! += 1
      }
      for (const [index, column] of columns.entries())
        if (counts[index]! > 0) yield* column.data(source, counts[index]!)
    },
  }
}
