import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { send } from './respond.ts'

export type Scripts = {
  /** Answers a request for a file below `/static/`. `path` is the part after it. */
  respond(request: Request, path: string): Response
  /** Whether the script that records sessions is among them: old versions come without it. */
  canRecord: boolean
}

/**
 * Serves the scripts in `dir`, the `dist` folder of posthog-js, as `<name>` and as
 * `<version>/<name>`. Only the names that the folder has at the start are served, so no path leads
 * out of it.
 */
export function createScripts(dir: string): Scripts {
  const files = listScripts(dir)
  const version = readVersion(dir)
  const canRecord = [...files.keys()].some((name) => recorder.test(name))
  return { canRecord, respond }

  function respond(request: Request, path: string): Response {
    const [, wanted, name = ''] = /^(?:(\d+\.\d+\.\d+)\/)?([^/]+)$/.exec(path) ?? []
    const type = files.get(name)
    const file = type && toStat(join(dir, name))
    if (!file) return send(notFound, '')
    const etag = `"${file.size.toString(36)}-${file.mtimeMs.toString(36)}"`
    const headers = {
      'content-type': type,
      'cache-control': wanted !== undefined && wanted === version ? forever : brief,
      etag,
      'x-content-type-options': 'nosniff',
    }
    const isCached = request.headers.get('if-none-match') === etag
    if (isCached) return new Response(null, { status: 304, headers })
    return new Response(Bun.file(join(dir, name)), { headers })
  }
}

const types: Record<string, string> = {
  '.js': 'text/javascript; charset=utf-8',
  '.map': 'application/json',
  '.css': 'text/css; charset=utf-8',
}

/** A newer version of posthog-js may take the place of an unversioned file. */
const brief = 'public, max-age=3600'
/** The version in the URL is the version of the folder: the file cannot change. */
const forever = 'public, max-age=31536000, immutable'

/** `recorder.js`, `recorder-v2.js`, `lazy-recorder.js` or `posthog-recorder.js`, by version. */
const recorder = /^(?:[a-z]+-)?recorder(?:-v2)?\.js$/

/** The types of the regular files in `dir`, by name. Links are left out: they may lead elsewhere. */
function listScripts(dir: string): Map<string, string> {
  const files = new Map<string, string>()
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const type = types[extname(entry.name)]
    if (type !== undefined && entry.isFile()) files.set(entry.name, type)
  }
  return files
}

/** The version of the package that the folder belongs to. Undefined if it was copied alone. */
function readVersion(dir: string): string | undefined {
  try {
    const { name, version } = JSON.parse(readFileSync(join(dir, '..', 'package.json'), 'utf8'))
    return name === 'posthog-js' && typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}

/** Undefined if the file has disappeared, or is no regular file any more. */
function toStat(path: string) {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat?.isFile() ? stat : undefined
}

const notFound = {
  status: 404,
  body: JSON.stringify({
    code: 0,
    status: 'error',
    error: 'not_found',
    detail: 'the folder of POSTHOG_JS_DIR has no such script',
  }),
}
