import { IngestError, statusOf } from '../core/errors.ts'
import { parseTarget } from './incoming.ts'
import { send } from './respond.ts'

type Failure = { request: Request; code: string | number; error: unknown }

/**
 * What no contract answered: an unknown route, a method nobody offers, a fault outside the pipeline.
 * `methodsOf` names the methods of a path without a trailing slash.
 */
export function createErrorReply(methodsOf: (path: string) => readonly string[]) {
  return ({ code, error, request }: Failure): Response => {
    const methods = code === 'NOT_FOUND' ? methodsOf(parseTarget(request.url).path) : []
    const allow = methods.length > 0 ? { allow: [...methods, 'OPTIONS'].join(', ') } : {}
    const { status, name, detail } = toReply(methods.length > 0 ? 'NOT_ALLOWED' : code, error)
    const body = JSON.stringify({ code: 0, status: 'error', error: name, detail })
    return send({ status, body, headers: allow })
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
