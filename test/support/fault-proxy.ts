import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The action of the proxy on a request that it does not forward. */
export type ProxyFault =
  /** Forwarded; the reply never reaches the client. */
  | 'drop-reply'
  /** Forwarded; the reply is cut off after its headers. */
  | 'cut-reply'
  /** The connection is cut before anything is forwarded. */
  | 'drop-request'
  /** Half of the body is forwarded, then the connection is cut. */
  | 'cut-request'
  /** Neither forwarded nor answered. */
  | 'hang'
  /** Forwarded, and answered with a 500 that is not the server's. */
  | 'error-after'
  | 'error-before'
  /** Not forwarded, and answered with a 200 that is not ClickHouse's. */
  | 'garbage'
  | 'empty-ok'
  /** 200 with an exception in headers and body, as sent by a server that began its reply too early. */
  | 'late-exception'
  /** 200 with an exception in the body only. */
  | 'exception-in-body'
  /**
   * Imitates a ClickHouse that failed to rename a part: it remembers the token but stored no rows. The
   * first insert is cut off; each further insert with that token gets OK and stores nothing.
   */
  | 'forget-part'

export type FaultProxy = {
  url: string
  /** Chooses a fault by the statement; undefined forwards the request. */
  fault: (statement: string) => ProxyFault | undefined
  /** The statements of all requests so far. */
  seen: string[]
  /** Number of inserts that got OK though their token has no part. */
  falseOks: number
  close(): Promise<void>
}

/** An HTTP proxy that injects the faults of networks, proxies and ClickHouse. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const partless = new Set<string>()
  const server = createServer((incoming, reply) => {
    const url = new URL(incoming.url ?? '/', target)
    const statement = url.searchParams.get('query') ?? ''
    proxy.seen.push(statement)
    const falseOk = () => {
      proxy.falseOks += 1
    }
    const passing = { incoming, reply, url, partless, falseOk }
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
  /** Tokens without a part. A token is also the query id. */
  partless: Set<string>
  /** Called for each OK to an insert with such a token. */
  falseOk(): void
}

async function pass(passing: Passing, fault: ProxyFault | undefined): Promise<void> {
  const { incoming, reply } = passing
  if (fault === 'drop-request') {
    incoming.destroy()
    return
  }
  const body = await readAll(incoming)
  if (answerPartless(passing, fault)) return
  if (fault === 'hang') return
  if (fault === 'error-before') return answer(reply, 500, 'upstream failed')
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

/** Answers or cuts an insert whose token has no part. False if the request is another one. */
function answerPartless(
  { url, reply, partless, falseOk }: Passing,
  fault: ProxyFault | undefined,
): boolean {
  const token = url.searchParams.get('query_id') ?? ''
  if (partless.has(token)) {
    falseOk()
    reply.writeHead(200, { 'x-clickhouse-query-id': token })
    reply.end()
    return true
  }
  if (fault !== 'forget-part') return false
  partless.add(token)
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

/** With `cutAt`, sends that many bytes of the body, chunked, and cuts the connection. */
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
