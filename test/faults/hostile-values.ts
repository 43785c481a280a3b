import fc from 'fast-check'
import { routes } from './hostile-corpus.ts'

const anyText = fc.string({ unit: 'binary', maxLength: 40 })
const hostileValue = fc.anything({
  withBigInt: false,
  withDate: false,
  maxDepth: 4,
  key: fc.oneof(
    anyText,
    fc.constantFrom(
      '__proto__',
      'constructor',
      'toJSON',
      'toString',
      'length',
      'properties',
      'uuid',
    ),
  ),
  values: [
    anyText,
    fc.double(),
    fc.integer(),
    fc.constantFrom(
      null,
      true,
      '\ud800',
      '\u0000',
      1e308,
      -0,
      '9'.repeat(400),
      '0000-00-00T00:00:00Z',
    ),
  ],
})
const fields = [
  ...[
    'event',
    'name',
    'properties',
    'distinct_id',
    'uuid',
    'timestamp',
    'offset',
    'sent_at',
    'token',
  ],
  ...[
    'batch',
    'events',
    'id',
    'type',
    'app',
    'release',
    'sessionId',
    'ts',
    'props',
    'user',
    'extra',
  ],
  ...['event_id', 'event_type', 'event_time', 'link_tags', 'project_id', 'ip', '$set', '__proto__'],
  ...[
    '$session_id',
    '$snapshot_data',
    'grant_type',
    'client_id',
    'historical_migration',
    'api_key',
  ],
] as const
const hostileObject = fc.dictionary(fc.constantFrom(...fields), hostileValue, { maxKeys: 14 })
const event = fc.record(
  {
    event: fc.oneof(anyText, hostileValue),
    distinct_id: fc.oneof(anyText, hostileValue),
    properties: fc.oneof(hostileObject, hostileValue),
    timestamp: fc.oneof(fc.date({ noInvalidDate: true }).map(String), anyText, hostileValue),
    uuid: fc.oneof(fc.uuid(), hostileValue),
    api_key: fc.constant('phc_fuzz'),
  },
  { requiredKeys: ['api_key'] },
)
/** JSON of any shape, with field names of the contracts in it. */
export const body = fc
  .oneof(hostileValue, hostileObject, event, fc.array(event, { maxLength: 5 }))
  .map((value) => JSON.stringify(value) ?? '')

const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD')
const segment = fc.oneof(
  fc.constantFrom(
    '',
    '%2f',
    '%2e%2e',
    '..',
    '%00',
    '%',
    '%zz',
    '*',
    ':token',
    'array',
    'x'.repeat(5000),
  ),
  fc.string({ maxLength: 20 }).map(encodeURIComponent),
)
const path = fc.oneof(
  fc.constantFrom(
    ...routes,
    '/metrics',
    '/array/t/config.js',
    '/flags',
    '/decide',
    '/api/health',
    '/socket.io/',
  ),
  fc.array(segment, { minLength: 1, maxLength: 6 }).map((parts) => `/${parts.join('/')}`),
)
const query = fc.oneof(
  fc.constant(''),
  fc.constantFrom(
    '?',
    '?data',
    '?data=%',
    '?data=%ff',
    '?compression=lz64&data=AAAA',
    '?_=1e999',
    '?&&=&=',
  ),
  fc.string({ maxLength: 60 }).map((text) => `?data=${encodeURIComponent(text)}`),
  fc.constant(`?data=${'A'.repeat(8000)}`),
)
const headerNames = [
  ...['content-type', 'content-encoding', 'origin', 'x-forwarded-for', 'authorization', 'token'],
  ...[
    'access-control-request-headers',
    'idempotency-key',
    'user-agent',
    'x-api-key',
    'cookie',
    'upgrade',
  ],
]
const headerValue = fc
  .oneof(
    fc.string({ maxLength: 100 }),
    fc.constantFrom(
      'gzip',
      'gzip, gzip',
      'br',
      'identity',
      'multipart/form-data',
      'null',
      'https://a.b',
      'Bearer x.y.z',
    ),
  )
  .map((text) => text.replace(/[^\x20-\x7e]/g, ''))

/** A request with any method, path and query, and known headers with any values. */
export const request = fc.record({
  path,
  query,
  method,
  body,
  headers: fc.dictionary(fc.constantFrom(...headerNames), headerValue),
})
