import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What becomes of one request, beside being passed on. */
export type ProxyFault =
  /** Passed on; the server's reply never gets back. */
  | 'drop-reply'
  /** Passed on; the reply is cut off after its head. */
  | 'cut-reply'
  /** Cut off before it gets anywhere. */
  | 'drop-request'
  /** Half of the body arrives at the server, and then nothing. */
  | 'cut-request'
  /** Never answered and never passed on. */
  | 'hang'
  /** Passed on, and answered with 500 in somebody else's words. */
  | 'error-after'
  | 'error-before'
  /** 200 by something that is no ClickHouse, without the server having seen anything. */
  | 'garbage'
  | 'empty-ok'
  /**
   * 200 with an exception in head and body, as of a server that began to answer too soon; or in the
   * body alone.
   */
  | 'late-exception'
  | 'exception-in-body'
  /**
   * What a ClickHouse does whose rename of a part failed: the token is remembered and the rows are
   * not there, so that every further insert under that token is answered with OK and stores
   * nothing. The first one breaks off.
   */
  | 'forget-part'

export type FaultProxy = {
  url: string
  /** Decides by the statement; undefined passes the request on. */
  fault: (statement: string) => ProxyFault | undefined
  /** Statements of all requests so far. */
  seen: string[]
  /** How many inserts were answered with OK under a token that is remembered without a part. */
  falseOks: number
  close(): Promise<void>
}

/**
 * Stands between a client and an HTTP server, and does to requests what networks and proxies do.
 */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const hollow = new Set<string>()
  const server = createServer((incoming, reply) => {
    const url = new URL(incoming.url ?? '/', target)
    const statement = url.searchParams.get('query') ?? ''
    proxy.seen.push(statement)
    const falseOk = () => {
      proxy.falseOks += 1
    }
    const passing = { incoming, reply, url, hollow, falseOk }
    void pass(passing, proxy.fault(statement)).catch(() => reply.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${port}`,
    fault: () => undefined,
    seen: [],
    falseOks: 0,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}

type Passing = {
  incoming: IncomingMessage
  reply: ServerResponse
  url: URL
  /** Tokens, which are query ids as well, that are remembered without a part. */
  hollow: Set<string>
  /** Is told of an OK to an insert under such a token. */
  falseOk(): void
}

async function pass(passing: Passing, fault: ProxyFault | undefined): Promise<void> {
  const { incoming, reply } = passing
  if (fault === 'drop-request') {
    incoming.destroy()
    return
  }
  const body = await readAll(incoming)
  if (isHollow(passing, fault)) return
  if (fault === 'hang') return
  if (fault === 'error-before') return answer(reply, 500, 'upstream is on fire')
  if (fault === 'garbage') return answer(reply, 200, '<html>It works!</html>')
  if (fault === 'empty-ok') return answer(reply, 200, '')
  if (fault === 'late-exception') return lateException(reply, { [exceptionCode]: '1001' })
  if (fault === 'exception-in-body') {
    const queryId = passing.url.searchParams.get('query_id') ?? ''
    return lateException(reply, { 'x-clickhouse-query-id': queryId })
  }
  if (fault === 'cut-request') {
    await forward(passing, body, body.length / 2).catch(() => {})
    reply.destroy()
    return
  }
  const { status, headers, text } = await forward(passing, body)
  if (fault === 'error-after') return answer(reply, 500, 'upstream took too long')
  if (fault === 'drop-reply') {
    reply.destroy()
    return
  }
  reply.writeHead(status, headers)
  if (fault === 'cut-reply') {
    reply.flushHeaders()
    reply.destroy()
    return
  }
  reply.end(text)
}

/** Whether the request was answered, or broken off, as an insert under a token without a part. */
function isHollow(
  { url, reply, hollow, falseOk }: Passing,
  fault: ProxyFault | undefined,
): boolean {
  const token = url.searchParams.get('query_id') ?? ''
  if (hollow.has(token)) {
    falseOk()
    reply.writeHead(200, { 'x-clickhouse-query-id': token })
    reply.end()
    return true
  }
  if (fault !== 'forget-part') return false
  hollow.add(token)
  reply.destroy()
  return true
}

const exceptionCode = 'x-clickhouse-exception-code'

function lateException(reply: ServerResponse, headers: Record<string, string>): void {
  reply.writeHead(200, headers)
  reply.end('Code: 1001. DB::Exception: std::exception. (STD_EXCEPTION)')
}

function answer(reply: ServerResponse, status: number, text: string): void {
  reply.writeHead(status, { 'content-type': 'text/html' })
  reply.end(text)
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

type Answer = { status: number; headers: Record<string, string | string[]>; text: Buffer }

/** With `cutAt`, as much of the body, chunked, and then the connection ends. */
function forward({ incoming, url }: Passing, body: Buffer, cutAt?: number): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const { host: _, connection: __, 'transfer-encoding': ___, ...headers } = incoming.headers
  const outgoing = request(url, { method: incoming.method, headers, agent: false }, (answered) => {
    const { statusCode: status = 502, headers: all } = answered
    const { 'transfer-encoding': _, connection: __, 'content-length': ___, ...kept } = all
    readAll(answered).then(
      (text) => resolve({ status, headers: kept as Answer['headers'], text }),
      reject,
    )
  })
  outgoing.on('error', reject)
  if (cutAt === undefined) outgoing.end(body)
  else outgoing.write(body.subarray(0, Math.ceil(cutAt)), () => outgoing.destroy())
  return promise
}
