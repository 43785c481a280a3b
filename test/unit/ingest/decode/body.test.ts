import { describe, expect, test } from 'bun:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import lz from 'lz-string'
import {
  base64,
  base64url,
  browser,
  capture,
  codeOf,
  decode,
  form,
  formType,
  gzip,
  gzip64,
  json,
  lz64,
  multipart,
  multipartType,
  type Sent,
  server,
  value,
} from './sent.ts'

const bom = '\ufeff'
const everywhere: [string, Sent][] = [
  ['plain JSON', { body: json, type: 'application/json' }],
  ['JSON as text/plain', { body: json, type: 'text/plain;charset=UTF-8' }],
  ['JSON without a content type', { body: json }],
  ['JSON in white space', { body: `\r\n\t ${json} \n` }],
  ['JSON after a byte order mark', { body: bom + json }],
  ['JSON after a byte order mark and white space', { body: `${bom}\n ${json}` }],
  ['a GET with a body', { body: json, method: 'GET' }],
  ['gzip by magic bytes', { body: gzip }],
  ['gzip as text/plain', { body: gzip, type: 'text/plain' }],
  ['gzip by header', { body: gzip, encoding: 'gzip' }],
  ['gzip in two members', { body: Buffer.concat([5, 999].map((_, i) => part(i))) }],
  ['gzip that a proxy decompressed', { body: json, encoding: 'gzip' }],
  ['deflate in zlib format', { body: zlib.deflateSync(json), encoding: 'deflate' }],
  ['deflate, raw', { body: zlib.deflateRawSync(json), encoding: 'deflate' }],
  ['deflate that a proxy decompressed', { body: json, encoding: 'deflate' }],
  ['brotli', { body: zlib.brotliCompressSync(json), encoding: 'BR' }],
  ['brotli that a proxy decompressed', { body: json, encoding: 'br' }],
  ['zstd', { body: zlib.zstdCompressSync(json), encoding: 'zstd' }],
  ['zstd that a proxy decompressed', { body: json, encoding: 'zstd' }],
  ['gzip in gzip, as a proxy may send it', { body: zlib.gzipSync(gzip), encoding: 'gzip' }],
  ['an unknown encoding', { body: json, encoding: 'identity' }],
]

function part(index: number): Uint8Array {
  return zlib.gzipSync(index === 0 ? json.slice(0, 5) : json.slice(5))
}

describe.each([
  ['capture', capture],
  ['browser', browser],
  ['server', server],
])('%s rules read', (_, rules) => {
  test.each(everywhere)('%s', async (_, sent) => {
    expect((await decode({ ...sent, rules })).value).toEqual(value)
  })
})

describe.each([
  ['capture', capture],
  ['browser', browser],
])('%s rules read forms:', (_, rules) => {
  test.each<[string, Sent]>([
    ['?data= with JSON', { query: form(json) }],
    ['?data= with base64', { query: form(base64) }],
    ['?data= with base64url', { query: `data=${base64url}` }],
    ['multipart/form-data', { body: multipart(json), type: multipartType }],
    ['multipart/form-data with base64', { body: multipart(base64), type: multipartType }],
    ['multipart/form-data with gzip', { body: multipart(gzip), type: multipartType }],
    ['?data= with base64 whose + is not escaped', { query: `data=${base64}` }],
    ['?data= with gzip in base64', { query: form(gzip64, '&compression=gzip-js') }],
    ['?data= with lz64', { query: form(lz64, '&compression=lz64') }],
    ['?data= with lz64 whose + is not escaped', { query: `data=${lz64}&compression=lz64` }],
    ['?data= before the body', { query: form(json), body: '{"event":"another"}' }],
    ['the body where ?data= is empty', { query: 'data=', body: json }],
    ['data= with JSON', { body: form(json), type: formType }],
    ['data= with a charset', { body: form(json), type: `${formType};charset=UTF-8` }],
    ['data= with a type in capitals', { body: form(json), type: formType.toUpperCase() }],
    ['data= with base64', { body: form(base64), type: formType }],
    [
      'data= with base64 without padding',
      { body: form(base64.replace(/=+$/, '')), type: formType },
    ],
    ['data= with base64 whose + is not escaped', { body: `data=${base64}`, type: formType }],
    ['data= as text/plain, as beacons do', { body: form(base64), type: 'text/plain' }],
    ['data= not first', { body: `ip=1&${form(base64)}&ver=1`, type: formType }],
    ['data= with gzip in base64', { body: form(gzip64), type: formType }],
    ['data= with ?compression=base64', { body: form(base64), query: 'compression=base64' }],
    ['data= and compression= as fields', { body: form(lz64, '&compression=lz64'), type: formType }],
    ['compression= before data=', { body: `compression=lz64&${form(lz64)}`, type: 'text/plain' }],
    ['compression= in capitals', { body: form(lz64, '&compression=LZ-String'), type: formType }],
    ['an unknown compression=', { body: form(base64, '&compression=arj'), type: formType }],
    ['a form in gzip', { body: zlib.gzipSync(form(base64)), type: formType }],
    ['a form in brotli', { body: zlib.brotliCompressSync(form(json)), encoding: 'br' }],
    ['plain JSON with a form type', { body: json, type: formType }],
    ['gzip with a form type', { body: gzip, type: formType }],
    ['JSON with the hint gzip-js', { body: json, query: 'compression=gzip-js' }],
    ['JSON with the hint lz64', { body: json, query: 'compression=lz64' }],
    ['a lz64 body', { body: lz64, query: 'compression=lz64' }],
    ['a lz64 body with a line end', { body: `${lz64}\n`, query: 'compression=lz-string' }],
    ['a lz64 body by header', { body: lz64, encoding: 'lz64' }],
    ['a base64 body by query', { body: base64, query: 'compression=b64' }],
    ['base64 of lz64', { body: form(btoa(lz64)), query: 'compression=lz64' }],
    ['base64 with the hint lz64', { body: form(base64), query: 'compression=lz64' }],
  ])('%s', async (_, sent) => {
    expect((await decode({ ...sent, rules })).value).toEqual(value)
  })
})

describe('hints', () => {
  test('the query wins over the form, and the form over the header', async () => {
    const body = form(gzip64, '&compression=lz64')
    expect((await decode({ body, query: 'compression=gzip' })).value).toEqual(value)
    const field = form(gzip64, '&compression=gzip')
    expect((await decode({ body: field, encoding: 'lz64' })).value).toEqual(value)
  })
})

describe('base64 bodies', () => {
  test.each<[string, Sent]>([
    ['once', { body: base64 }],
    ['twice', { body: btoa(base64) }],
    ['with a line end', { body: `${base64}\n` }],
    ['of gzip', { body: gzip64 }],
    ['of base64 of gzip', { body: btoa(gzip64) }],
    ['with a form type', { body: base64, type: formType }],
    ['twice in a form', { body: form(btoa(base64)), type: formType }],
  ])('are read %s if the rules allow it', async (_, sent) => {
    expect((await decode(sent)).value).toEqual(value)
  })

  test.each<[string, Sent]>([
    ['of other contracts', { body: base64, rules: browser }],
    ['of servers', { body: base64, rules: server }],
    ['decoded twice on other contracts', { body: form(btoa(base64)), rules: browser }],
    ['whose length is no multiple of 4', { body: base64.slice(0, -1) }],
    ['with a foreign character beyond the head', { body: `${'QUJD'.repeat(40)}*QUJ` }],
    ['forms of servers', { body: form(json), type: formType, rules: server }],
  ])('are not %s', async (_, sent) => {
    expect(await codeOf(sent)).toBe('invalid_json')
  })
})

test('decodes a small body at once, and a large one asynchronously', async () => {
  expect(decode({ body: gzip })).not.toBeInstanceOf(Promise)
  const large = zlib.gzipSync(JSON.stringify(Array.from({ length: 1000 }, () => 'x'.repeat(1500))))
  expect(decode({ body: large })).toBeInstanceOf(Promise)
})

test('counts the bytes of the JSON text', async () => {
  const bytes = Buffer.byteLength(json)
  for (const sent of [{ body: json }, { body: gzip }, { body: form(json) }]) {
    expect((await decode(sent)).decodedBytes).toBe(bytes)
  }
})

test('decodes any JSON from any layer', async () => {
  const wraps: ((text: string) => Sent)[] = [
    (body) => ({ body }),
    (text) => ({ body: zlib.gzipSync(text) }),
    (text) => ({ body: form(text), type: formType }),
    (text) => ({ body: form(Buffer.from(text).toString('base64')), type: formType }),
    (text) => ({ body: Buffer.from(text).toString('base64') }),
    (text) => ({ query: form(zlib.gzipSync(text).toString('base64')) }),
    (text) => ({ body: lz.compressToBase64(text), query: 'compression=lz64' }),
    (text) => ({ body: zlib.zstdCompressSync(text), encoding: 'zstd' }),
  ]
  const document = fc.array(fc.jsonValue({ maxDepth: 3 }))
  await fc.assert(
    fc.asyncProperty(document, fc.constantFrom(...wraps), async (items, wrap) => {
      const text = JSON.stringify(items)
      expect((await decode(wrap(text))).value).toEqual(JSON.parse(text))
    }),
  )
})

test('refuses any bytes, with any hint, with an error code', async () => {
  const hint = fc.constantFrom('', 'compression=lz64', 'compression=base64', 'compression=gzip')
  const encoding = fc.constantFrom('', 'gzip', 'deflate', 'br', 'zstd')
  const lead = fc.constantFrom('', 'data=', '[', '\x1f\x8b\x08')
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.base64String().map(Buffer.from))
  const sent = fc.record({ hint, encoding, lead, bytes, type: fc.constantFrom('', formType) })
  await fc.assert(
    fc.asyncProperty(sent, async ({ hint: query, lead: start, bytes: rest, ...labels }) => {
      const body = Buffer.concat([Buffer.from(start, 'latin1'), rest])
      expect(await codeOf({ body, query, ...labels })).not.toStartWith('threw')
    }),
    { numRuns: 500 },
  )
})
