import { shareFor } from '../core/async.ts'
import type { Log } from '../core/log.ts'
import type { IngestOptions } from '../ingest/pipeline.ts'
import type { Projects } from '../projects/projects.ts'
import { type AnswerOptions, createAnswer } from './answers.ts'
import { type ClickHouseReaderOptions, createClickHouseReader } from './clickhouse.ts'
import { type DeadLetterParts, deadLetterRoutes } from './dead-letter-routes.ts'
import { type Drain, drainRoutes } from './drain-routes.ts'
import {
  ConsoleError,
  createParameters,
  toErrorResponse,
  toJsonResponse,
  toMethodError,
} from './exchange.ts'
import { parseFigures } from './figures.ts'
import { forgetRoutes } from './forget-routes.ts'
import { createHistory } from './history.ts'
import { monitorRoutes } from './monitor-routes.ts'
import { type AskOthers, createAsk, type Question } from './processes.ts'
import { createResender } from './resend.ts'
import type { ConsoleHandler, ConsoleRoutes } from './routes.ts'
import { setupRoutes } from './setup-routes.ts'
import type { Delivery } from './stages.ts'
import { testEventRoutes } from './test-event.ts'

/** The data behind the console and the commands, for those who may see it. */
export type Console = {
  /** Answers a request below `/console/api/`. The caller has checked who asks. */
  respond(request: Request): Promise<Response>
  /** Answers a question of another process of the node. Never rejects: undefined after a fault. */
  answer(question: Question): Promise<unknown>
  close(): void
}

export type ConsoleOptions = Omit<AnswerOptions, 'readFigures' | 'history'> &
  ClickHouseReaderOptions & {
    /** The metrics of all processes together. */
    readMetrics(): Promise<{ text: string }>
    /** How far the sinks of this process are. */
    readDelivery(): Delivery
    askOthers: AskOthers
    version: string
    projects: Pick<Projects, 'view' | 'byId' | 'findByApp'>
    ingestOptions: IngestOptions
    contracts: DeadLetterParts['contracts']
    nextId(): string
    drain: Drain
  }

export function createConsole(options: ConsoleOptions): Console {
  const { now, readMetrics, isSampler } = options
  const read = async () => parseFigures((await readMetrics()).text, now())
  const history = createHistory({ read, isSampling: isSampler })
  const readFigures = shareFor(overviewFreshMs, read)
  const answer = createAnswer({ ...options, readFigures, history })
  const closing = new AbortController()
  const ask = createAsk(answer, options.askOthers)
  const clickhouse = createClickHouseReader(options)
  const delivery = options.readDelivery
  const sinks = () => Object.keys(delivery().sinks)
  const resender = createResender(options)
  const common = { ...options, closing: closing.signal, ask, clickhouse, delivery, resender, sinks }
  const routes: ConsoleRoutes = {
    ...monitorRoutes(common),
    ...setupRoutes(common),
    ...deadLetterRoutes(common),
    ...testEventRoutes(common),
    ...drainRoutes(common),
    ...forgetRoutes(common),
  }
  return {
    respond: (request) => respond(routes, request, options.log),
    answer: (question) => answerOther(answer, question, options.log),
    close() {
      // A stream would hold up the stop of the server.
      closing.abort()
      history.close()
    },
  }
}

/** Those who look at once share one text of the metrics: it takes the serving thread some milliseconds. */
const overviewFreshMs = 500

async function answerOther(
  answer: (question: Question) => Promise<unknown>,
  question: Question,
  log: Log,
): Promise<unknown> {
  try {
    return (await answer(question)) ?? null
  } catch (error) {
    const fields = { error: String(error), question: question.type }
    log.error(fields, 'cannot answer another process; the console shows its data without this one')
    return undefined
  }
}

async function respond(routes: ConsoleRoutes, request: Request, log: Log): Promise<Response> {
  try {
    const { pathname, searchParams } = new URL(request.url)
    const handler = findHandler(routes, request.method, pathname)
    const parameters = createParameters(searchParams)
    const reply = await handler({ request, parameters })
    return reply instanceof Response ? reply : toJsonResponse(reply)
  } catch (error) {
    if (error instanceof ConsoleError) return toErrorResponse(error)
    log.error({ error: String(error), url: request.url }, 'the console failed to answer')
    const detail = 'the server failed; its log has the details'
    return toErrorResponse(new ConsoleError(500, 'internal_error', detail))
  }
}

function findHandler(routes: ConsoleRoutes, method: string, pathname: string): ConsoleHandler {
  const path = pathname.replace(/^\/console\/api\/|\/$/g, '')
  const handler = routes[`${method} ${path}`]
  if (handler) return handler
  const methods = ['GET', 'POST'].filter((other) => routes[`${other} ${path}`])
  if (methods.length > 0) throw toMethodError(path, method, methods)
  throw new ConsoleError(404, 'not_found', 'there is no such route')
}
