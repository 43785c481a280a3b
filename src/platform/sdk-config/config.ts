import { createHash } from 'node:crypto'
import type { SdkOverrides } from '../../core/project-entries.ts'
import type { Reply } from '../../core/protocol.ts'
import { type SdkDocument, toDocument } from './document.ts'

export type SdkConfig = {
  /**
   * GET /api/sdk/config. `?project=` and `?app=` choose whose overrides apply; a project that is not named is the
   * app, as it is for telemetry. `https` says that a proxy took the request by TLS.
   */
  reply(request: Request, https?: boolean): Reply
}

/** Serves SDKs their configuration: server-wide settings, then the overrides of the project and app. */
export function createSdkConfig({
  settings,
  overrides,
  publicUrl,
  realtimePort,
}: {
  settings: SdkOverrides
  /** What the projects file says. Asked on every request, so that a reload counts at once. */
  overrides: (project: string | undefined, app: string | undefined) => SdkOverrides | undefined
  publicUrl: string | undefined
  /** Where Socket.IO has a port of its own. */
  realtimePort: number | undefined
}): SdkConfig {
  function reply(request: Request, https = false): Reply {
    const url = new URL(request.url)
    if (https) url.protocol = 'https:'
    const base = new URL(publicUrl ?? url.origin)
    const app = url.searchParams.get('app') ?? undefined
    const project = url.searchParams.get('project') ?? app
    const layers = [settings, overrides(project, app)]
    return toReply(toDocument(toAddresses(base, realtimePort), layers), request)
  }
  return { reply }
}

/** SDKs ask at start; a minute keeps a page's reloads off us, and the ETag makes the next ask cheap. */
const maxAgeSeconds = 60

/** A path in PUBLIC_URL is kept for HTTP; Socket.IO clients read a path as a namespace, so it gets none. */
function toAddresses(base: URL, realtimePort: number | undefined) {
  const root = `${base.origin}${base.pathname === '/' ? '' : base.pathname.replace(/\/$/, '')}`
  const realtime = new URL(base.origin)
  if (realtimePort !== undefined) realtime.port = `${realtimePort}`
  return { endpoint: `${root}/api/telemetry/events`, url: realtime.origin }
}

function toReply(document: SdkDocument, request: Request): Reply {
  const body = JSON.stringify(document)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    // Private: the addresses in it may come from the request's own Host.
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
