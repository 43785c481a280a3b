import { IngestError, statusOf } from '../core/errors.ts'
import type { Context } from './respond.ts'

type Failure = Pick<Context, 'request' | 'set'> & { code: string | number; error: unknown }

/** What no contract answered: an unknown route, a method nobody offers, a fault outside the pipeline. */
export function errorReply({ code, error, set }: Failure): string {
  const { status, name, detail } = toReply(code, error)
  set.status = status
  set.headers['content-type'] = 'application/json'
  return JSON.stringify({ code: 0, status: 'error', error: name, detail })
}

function toReply(code: string | number, error: unknown) {
  if (error instanceof IngestError) {
    return { status: statusOf[error.code], name: error.code, detail: error.message }
  }
  if (code === 'NOT_FOUND') {
    return { status: 404, name: 'not_found', detail: 'there is no such route' }
  }
  return { status: 500, name: 'internal_error', detail: 'the server failed' }
}
