import { createHash } from 'node:crypto'
import type { SdkOverrides } from '../../core/project-entries.ts'
import type { Reply } from '../../core/protocol.ts'

export type SdkConfig = {
  /**
   * GET /api/sdk/config. `?project=` and `?app=` select the overrides. The default of `project` is
   * `app`, as in telemetry. `https`: a proxy received the request over TLS.
   */
  reply(request: Request, https?: boolean): Reply
}

/** The configuration for SDKs: the defaults, replaced by the overrides of project and app. */
export function createSdkConfig({
  overrides,
  publicUrl,
  needsPublicUrl = false,
  realtimePort,
}: {
  /**
   * Reads the projects file's current entries for every request, so that a reload applies at once.
   */
  overrides: (project: string | undefined, app: string | undefined) => SdkOverrides | undefined
  publicUrl: string | undefined
  /** Refuses requests without `publicUrl`, instead of building addresses from their Host header. */
  needsPublicUrl?: boolean
  /** Set if Socket.IO has its own port. */
  realtimePort: number | undefined
}): SdkConfig {
  function reply(request: Request, https = false): Reply {
    if (publicUrl === undefined && needsPublicUrl) return noPublicUrl
    const url = new URL(request.url)
    const base = new URL(toBaseUrl(request, { publicUrl, https }))
    const app = url.searchParams.get('app') ?? undefined
    const project = url.searchParams.get('project') ?? app
    return toReply(toDocument(toAddresses(base, realtimePort), overrides(project, app)), request)
  }
  return { reply }
}

/** The address of the server as clients see it, without a slash at the end. */
export function toBaseUrl(
  request: Request,
  { publicUrl, https }: { publicUrl: string | undefined; https: boolean },
): string {
  const url = new URL(publicUrl ?? new URL(request.url).origin)
  if (publicUrl === undefined && https) url.protocol = 'https:'
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

/** In production a Host header of a client's choice makes no address. */
export const noPublicUrl: Reply = {
  status: 503,
  body: JSON.stringify({
    error: 'no_public_url',
    message: 'the server does not know its own address; its operator must set PUBLIC_URL',
  }),
  reason: 'no_public_url',
}

/**
 * SDKs request this at each start. Caching for a minute absorbs page reloads; later requests are
 * 304 by the ETag.
 */
const maxAgeSeconds = 60

/** Keeps a path of PUBLIC_URL for HTTP only: Socket.IO clients would take a path as a namespace. */
function toAddresses(base: URL, realtimePort: number | undefined) {
  const root = `${base.origin}${base.pathname.replace(/\/+$/, '')}`
  const realtime = new URL(base.origin)
  if (realtimePort !== undefined) realtime.port = `${realtimePort}`
  return { endpoint: `${root}/api/telemetry/events`, url: realtime.origin }
}

function toReply(document: SdkDocument, request: Request): Reply {
  const body = JSON.stringify(document)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    // Private: the URLs may come from the Host header of this request.
    'cache-control': `private, max-age=${maxAgeSeconds}`,
    etag,
  }
  return isKnown(request.headers.get('if-none-match'), etag)
    ? { status: 304, body: null, headers }
    : { status: 200, body, headers }
}

function isKnown(ifNoneMatch: string | null, etag: string): boolean {
  const tags = ifNoneMatch?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? []
  return tags.includes(etag) || tags.includes('*')
}

/** The body of `/api/sdk/config` (docs/contracts/platform.md). Intervals in ms. */
type SdkDocument = {
  telemetry: {
    enabled: boolean
    endpoint: string
    sampleRate: number
    batchSize: number
    flushInterval: number
  }
  performance: { enabled: boolean; sampleRate: number; webVitals: boolean }
  realtime: { enabled: boolean; url: string; heartbeatInterval: number }
  features: Record<string, boolean>
}

/** All defaults except the URLs, which depend on the server. */
const defaultOverrides = {
  telemetry: { enabled: true, sampleRate: 1, batchSize: 50, flushInterval: 5000 },
  performance: { enabled: true, sampleRate: 1, webVitals: true },
  realtime: { enabled: true, heartbeatInterval: 30_000 },
  features: {},
} as const satisfies SdkOverrides

/**
 * The document for one app. Total: ignores a value of a wrong type, a negative number, and a rate
 * outside 0..1.
 */
function toDocument(
  addresses: { endpoint: string; url: string },
  overrides: SdkOverrides | undefined,
): SdkDocument {
  const document: SdkDocument = {
    telemetry: { ...defaultOverrides.telemetry, endpoint: addresses.endpoint },
    performance: { ...defaultOverrides.performance },
    realtime: { ...defaultOverrides.realtime, url: addresses.url },
    features: {},
  }
  apply(document.telemetry, overrides?.telemetry)
  apply(document.performance, overrides?.performance)
  apply(document.realtime, overrides?.realtime)
  addFeatures(document.features, overrides?.features)
  return inOrder(document)
}

type Section = Record<string, boolean | number | string>

function apply(section: Section, changes: Readonly<Record<string, unknown>> | undefined): void {
  for (const [name, value] of Object.entries(changes ?? {})) {
    if (!Object.hasOwn(section, name) || typeof value !== typeof section[name]) continue
    if (typeof value === 'number' && !isValid(name, value)) continue
    section[name] = value as boolean | number | string
  }
}

function isValid(name: string, value: number): boolean {
  return Number.isFinite(value) && value >= 0 && (name !== 'sampleRate' || value <= 1)
}

function addFeatures(features: Record<string, boolean>, changes: unknown): void {
  for (const [name, value] of Object.entries(changes ?? {})) {
    // Not an assignment: a feature may be named `__proto__`.
    if (typeof value === 'boolean')
      Object.defineProperty(features, name, { value, enumerable: true, configurable: true })
  }
}

/** Fixes the order of the keys, so that equal documents have the same ETag. */
function inOrder({ telemetry, performance, realtime, features }: SdkDocument): SdkDocument {
  const { enabled, endpoint, sampleRate, batchSize, flushInterval } = telemetry
  return {
    telemetry: { enabled, endpoint, sampleRate, batchSize, flushInterval },
    performance,
    realtime: {
      enabled: realtime.enabled,
      url: realtime.url,
      heartbeatInterval: realtime.heartbeatInterval,
    },
    features,
  }
}
