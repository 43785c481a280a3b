import { withTimeLimit } from '../../core/async.ts'
import { OAuthError } from './oauth-error.ts'

const bytesMax = 16 * 1024
const timeoutMs = 10_000

/** The text of a small body. Throws OAuthError where it is too large, too slow, or breaks off. */
export async function readSmallBody(request: Request): Promise<string> {
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) throw tooLarge()
  if (!request.body) return ''
  const reader = request.body.getReader()
  try {
    return await withTimeLimit(gather(reader), timeoutMs, () => {
      throw tooSlow()
    })
  } catch (error) {
    await reader.cancel().catch(() => {})
    throw error instanceof OAuthError ? error : brokenOff()
  }
}

async function gather(reader: {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>
}): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done || !value) return Buffer.concat(chunks, bytes).toString()
    bytes += value.byteLength
    if (bytes > bytesMax) throw tooLarge()
    chunks.push(value)
  }
}

const tooLarge = () =>
  new OAuthError('request_too_large', `a token request is at most ${bytesMax} bytes`)
const tooSlow = () => new OAuthError('request_timeout', 'the body did not arrive in time')
const brokenOff = () => new OAuthError('invalid_request', 'the body broke off')
