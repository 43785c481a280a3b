import { toSender } from '../core/address.ts'
import { isOriginAmong } from '../core/cors.ts'
import { type Fault, IngestError, toRequestError } from '../core/errors.ts'
import type { IngestRequest, Project, ProtocolName, Senders, Submission } from '../core/protocol.ts'
import type { Projects } from '../projects/projects.ts'
import type { Limiter, RateDecision } from './limits/rate-limiter.ts'

type Sending = { contract: ProtocolName; submission: Submission; request: IngestRequest }

/**
 * In whose name a request is sent. Checks the rate of the client's address, then for each project
 * its origins, its key and its rate. A request without Redis is judged without a promise.
 */
export function admitSenders(
  options: SendersOptions,
  sending: Sending,
): Senders | Promise<Senders> {
  const { contract, request } = sending
  const decision = options.byAddress[contract]?.take(toSender(request.clientIp)) ?? allowed
  if (decision instanceof Promise) {
    return decision.then((answer) => {
      assertAllowed(answer)
      return judge(options, sending)
    })
  }
  assertAllowed(decision)
  return judge(options, sending)
}

/** The refusal of a request in a known name: its projects say what of the request may be shown. */
export class SenderRefusal extends IngestError {
  readonly senders: Senders

  constructor(senders: Senders, { code, message, details }: IngestError) {
    super(code, message, details)
    this.senders = senders
  }
}

export type SendersOptions = {
  projects: Pick<Projects, 'find' | 'findByApp'>
  /** By contract and project id. */
  requests: Limiter
  /** By client address, or its /64, for the contracts whose events need no credential. */
  byAddress: Partial<Record<ProtocolName, Limiter>>
}

const allowed: RateDecision = { allowed: true, retryAfterSeconds: 0 }

function judge(options: SendersOptions, sending: Sending): Senders | Promise<Senders> {
  const { contract, submission, request } = sending
  const apiKey = contract === 'link' ? toApiKey(request) : null
  const project = findProject(options, submission, { contract, apiKey })
  if (submission.apps) return judgeApps(options, sending, { project, apps: submission.apps })
  const senders = { project }
  assertOrigin(project, request)
  const decision = takeProjectRate(options, contract, project)
  if (decision instanceof Promise) {
    return decision.then((answer) => {
      assertAllowed(answer, senders)
      return senders
    })
  }
  assertAllowed(decision, senders)
  return senders
}

function findProject(
  { projects }: SendersOptions,
  { credential, fault }: Submission,
  { contract, apiKey }: { contract: ProtocolName; apiKey: string | null },
): Project {
  try {
    return projects.find(contract, credential, apiKey)
  } catch (error) {
    throw fault === undefined ? error : toRequestError(fault)
  }
}

/**
 * Judges each app of a telemetry batch by its own project. Throws only if all of them are refused.
 */
async function judgeApps(
  options: SendersOptions,
  sending: Sending,
  { project, apps }: { project: Project; apps: readonly string[] },
): Promise<Senders> {
  const apiKey = toApiKey(sending.request)
  // Several apps of one project count as one request of it.
  const judged = new Map<string, Promise<Project | IngestError>>()
  const found = apps.flatMap((app) => {
    const sender = options.projects.findByApp(app, apiKey)
    if (sender === undefined) return []
    if ('id' in sender && !judged.has(sender.id)) {
      judged.set(sender.id, judgeProject(options, sending, sender))
    }
    return [[app, sender] as const]
  })
  const verdicts = new Map<string, Project | Fault>()
  const refusals: IngestError[] = []
  for (const [app, sender] of found) {
    const verdict = 'id' in sender ? await judged.get(sender.id)! : toError(sender)
    if (verdict instanceof IngestError) refusals.push(verdict)
    verdicts.set(app, verdict instanceof IngestError ? toFault(verdict) : verdict)
  }
  if (found.length === 0 && apps.length > 0) return { project }
  if (refusals[0] && refusals.length === found.length)
    throw new SenderRefusal({ project, apps: new Map(found) }, refusals[0])
  return { project, apps: verdicts }
}

/** Resolves with the project, or with the reason to refuse its events. */
async function judgeProject(
  options: SendersOptions,
  { contract, request }: Sending,
  project: Project,
): Promise<Project | IngestError> {
  try {
    assertOrigin(project, request)
    assertAllowed(await takeProjectRate(options, contract, project), { project })
    return project
  } catch (error) {
    if (error instanceof IngestError) return error
    throw error
  }
}

const toError = ({ code, message }: Fault) => new IngestError(code, message)
const toFault = ({ code, message }: IngestError): Fault => ({ code, message })

const toApiKey = ({ headers }: IngestRequest) => headers.get('x-api-key')

/**
 * The server's default rate applies to capture only; a project's own rate to all contracts, each by
 * itself: anyone who knows an app may send telemetry, and must not use up the rate of capture.
 */
function takeProjectRate(
  { requests }: SendersOptions,
  contract: ProtocolName,
  { id, rate }: Project,
): RateDecision | Promise<RateDecision> {
  if (rate) return requests.take(`${contract}:${id}`, { rate })
  return contract === 'capture' ? requests.take(`${contract}:${id}`) : allowed
}

function assertAllowed({ allowed, retryAfterSeconds }: RateDecision, senders?: Senders): void {
  if (allowed) return
  const refusal = new IngestError('rate_limited', 'too many requests', { retryAfterSeconds })
  throw senders ? new SenderRefusal(senders, refusal) : refusal
}

function assertOrigin(project: Project, { headers }: IngestRequest): void {
  const { origins } = project
  if (!origins) return
  const origin = headers.get('origin')
  if (origin === null || isOriginAmong(origins, origin)) return
  const shown = origin.slice(0, originCharactersMax)
  const message = `origin ${shown} may not send for this project`
  throw new SenderRefusal({ project }, new IngestError('origin_not_allowed', message))
}

/** A telemetry reply repeats the message for each event. */
const originCharactersMax = 100
