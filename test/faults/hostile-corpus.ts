import zlib from 'node:zlib'
import lz from 'lz-string'

/** Every route that accepts a body. */
export const routes = [
  ...['/e', '/engage/', '/track', '/i/v0/e', '/capture', '/batch/', '/s', '/capture/recording'],
  ...['/api/events/track', '/users/report/events', '/v2/users/report/events'],
  ...['/api/telemetry/events', '/api/auth/token', '/api/auth/refresh', '/flags/', '/decide'],
]

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
const nestedObjects = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
const capture = (fields: string) => `{"api_key":"phc_h","distinct_id":"d","event":"e",${fields}}`

/** JSON that is invalid in one place, or valid and unusual. */
export const texts: readonly string[] = [
  ...[
    '',
    ' ',
    'null',
    'true',
    '0',
    '""',
    '[]',
    '{}',
    '[[]]',
    '[null]',
    '{"batch":null}',
    '{"events":{}}',
  ],
  ...[
    '{',
    '[1,',
    '{"a":1}{"b":2}',
    '\ufeff{}',
    'data=',
    'data=%7B',
    'compression=gzip&data=x',
    '=',
    'A',
  ],
  ...[
    '{"__proto__":{"token":"t"}}',
    '{"constructor":{"prototype":{}}}',
    '{"toJSON":1,"events":[{"toJSON":1}]}',
  ],
  ...[nested(150), nested(10_000), nestedObjects(10_000), '['.repeat(10_000)],
  ...['[1e999]', `[${'9'.repeat(5000)}]`, '[-0, 1e-400]', '{"ts":1e308}', '{"offset":-1e308}'],
  capture('"properties":{"a":"\\ud800","b":"\\u0000","\\udfff":"\u0000"}'),
  capture('"properties":[],"timestamp":{},"uuid":7'),
  capture(`"properties":{"big":${'9'.repeat(400)}}`),
  capture(`"properties":${nestedObjects(150)}`),
  capture('"timestamp":"+275760-09-13T00:00:00Z"'),
  capture('"timestamp":"-271821-04-20T00:00:00Z"'),
  capture('"timestamp":"0000-01-01T00:00:00Z","offset":9007199254740993'),
  capture(`"properties":{"${'k'.repeat(70_000)}":1}`),
  `{"api_key":"phc_h","batch":[${'{},'.repeat(500)}7]}`,
  '{"event_type":"click","event_time":"9999-12-31T23:59:59Z","link_tags":"[","event_id":"\\ud800"}',
  '{"events":[{"name":"n","user":"u","sessionId":"s","extra":{"__proto__":1,"x":"\\ud800\\u0000"}}]}',
  '[{"id":"1","type":"api","name":"n","app":"\\u0000","release":"r","sessionId":"s","ts":-1e300,"props":{}}]',
  '{"grant_type":"password","client_id":"\\u0000","username":[],"password":{}}',
]

type Packing = { pack(text: string): Uint8Array | string; headers: Record<string, string> }

/** Each encoding: correct, cut short, and under the name of another. */
export const packings: readonly Packing[] = [
  { pack: (text) => text, headers: { 'content-type': 'application/json' } },
  { pack: (text) => text, headers: { 'content-encoding': 'br' } },
  { pack: (text) => zlib.gzipSync(text), headers: {} },
  { pack: (text) => zlib.gzipSync(text).subarray(0, -5), headers: { 'content-encoding': 'gzip' } },
  { pack: (text) => zlib.deflateSync(text), headers: { 'content-encoding': 'zstd' } },
  { pack: (text) => zlib.brotliCompressSync(text), headers: { 'content-encoding': 'br' } },
  { pack: (text) => zlib.zstdCompressSync(text), headers: { 'content-encoding': 'deflate' } },
  {
    pack: (text) => Buffer.from(text).toString('base64'),
    headers: { 'content-type': 'text/plain' },
  },
  {
    pack: (text) => `data=${encodeURIComponent(Buffer.from(text).toString('base64'))}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  },
  { pack: (text) => `compression=lz64&data=${lz.compressToBase64(text)}`, headers: {} },
]

const mib = 1024 * 1024
const zeros = Buffer.alloc(48 * mib)
/** Bodies below 20 MB that nest deeply or have many values. */
const dense = ['[]', '{}', '[1,', '{"a":[', '"",'].map((item) =>
  item.repeat((19 * mib) / item.length),
)

type Bomb = { body: Uint8Array | string; headers: Record<string, string>; query: string }

const encoded = (name: string, body: Uint8Array): Bomb => ({
  body,
  headers: name ? { 'content-encoding': name } : {},
  query: '',
})
const gzipped = zlib.gzipSync(zeros)

export const bombs: readonly Bomb[] = [
  encoded('gzip', gzipped),
  encoded('', zlib.gzipSync(gzipped)),
  encoded('deflate', zlib.deflateSync(zeros)),
  encoded(
    'br',
    zlib.brotliCompressSync(zeros, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } }),
  ),
  encoded('zstd', zlib.zstdCompressSync(zeros)),
  { body: lz64Bomb(21 * mib), headers: {}, query: '?compression=lz64' },
  { body: Buffer.from(gzipped.toString('base64')).toString('base64'), headers: {}, query: '' },
  ...dense.map((text) => encoded('gzip', zlib.gzipSync(`[${text}`, { level: 1 }))),
]

/**
 * One event for each of 200 months, for years from 1 to 9999 in steps, and for the limits of a
 * date.
 */
export const months: readonly string[] = [
  ...Array.from({ length: 200 }, (_, month) => new Date(Date.UTC(2010, month, 15)).toISOString()),
  ...Array.from(
    { length: 200 },
    (_, step) => `${String(1 + step * 50).padStart(4, '0')}-06-01T00:00:00Z`,
  ),
  ...[
    '1969-12-31T23:59:59.999Z',
    '1970-01-01T00:00:00Z',
    '2106-02-07T06:28:16Z',
    '2149-06-07T00:00:00Z',
  ],
]

/**
 * LZ text of `a`, at least `chars` times: each code names the word that is added next, one letter
 * longer.
 */
function lz64Bomb(chars: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  let bits = `00${toBits('a'.charCodeAt(0), 8)}`
  let width = 3
  let untilWider = 4
  for (let word = 4, sum = 1; sum <= chars; word += 1, sum += word - 3) {
    bits += toBits(word, width)
    untilWider -= 1
    if (untilWider > 0) continue
    untilWider = 2 ** width
    width += 1
  }
  return (bits.match(/.{6}/g) ?? []).map((six) => alphabet[Number.parseInt(six, 2)]).join('')
}

/** Lowest bit first. */
function toBits(value: number, width: number): string {
  return [...value.toString(2).padStart(width, '0')].reverse().join('')
}
