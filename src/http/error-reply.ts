import { IngestError, statusOf } from '../core/errors.ts'
import { parseTarget } from './incoming.ts'
import type { Context } from './respond.ts'

type Failure = Pick<Context, 'request' | 'set'> & { code: string | number; error: unknown }

/**
 * What no contract answered: an unknown route, a method nobody offers, a fault outside the pipeline.
 * `methodsOf` names the methods of a path without a trailing slash.
 */
export function createErrorReply(methodsOf: (path: string) => readonly string[]) {
  return ({ code, error, request, set }: Failure): string => {
    const methods = code === 'NOT_FOUND' ? methodsOf(parseTarget(request.url).path) : []
    if (methods.length > 0) set.headers.allow = [...methods, 'OPTIONS'].join(', ')
    const { status, name, detail } = toReply(methods.length > 0 ? 'NOT_ALLOWED' : code, error)
    set.status = status
    set.headers['content-type'] = 'application/json'
    return JSON.stringify({ code: 0, status: 'error', error: name, detail })
  }
}

function toReply(code: string | number, error: unknown) {
  if (error instanceof IngestError) {
    return { status: statusOf[error.code], name: error.code, detail: error.message }
  }
  if (code === 'NOT_FOUND') {
    return { status: 404, name: 'not_found', detail: 'there is no such route' }
  }
  if (code === 'NOT_ALLOWED') {
    const detail = 'the route does not take this method'
    return { status: 405, name: 'method_not_allowed', detail }
  }
  return { status: 500, name: 'internal_error', detail: 'the server failed' }
}
