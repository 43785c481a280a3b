import type { ProtocolName } from '../core/protocol.ts'
import type { Projects } from '../projects/projects.ts'
import { invalid, readObject } from './exchange.ts'
import { contracts } from './figures.ts'
import { type ParcelOptions, toParcel } from './parcel.ts'
import type { Resender } from './resend.ts'
import type { ConsoleRoutes } from './routes.ts'

export type TestEventParts = {
  contracts: ParcelOptions['contracts']
  projects: Pick<Projects, 'view'>
  resender: Resender
  now(): number
}

/** Sends an event of an operator through the pipeline, so that its way can be followed to the end. */
export function testEventRoutes(parts: TestEventParts): ConsoleRoutes {
  return {
    'POST test-event': async ({ request }) => {
      const { contract: asked = 'capture', project: named } = await readObject(request)
      const contract = contracts.find((one) => one === asked)
      if (contract === undefined)
        throw invalid(`contract ${JSON.stringify(asked)} is not one of ${contracts.join(', ')}`)
      const project = toProject(parts, named)
      const uuid = Bun.randomUUIDv7()
      const receivedMs = parts.now()
      const event = toEvent(contract, { uuid, project, receivedMs })
      const outcome = await parts.resender.send(
        toParcel({
          contracts: parts.contracts,
          protocol: contract,
          text: JSON.stringify(event),
          ...{ project, uuid, receivedMs, clientIp: '127.0.0.1' },
        }),
      )
      const { event_uuid, ...rest } = outcome
      return { contract, project, uuid: event_uuid, ...rest }
    },
  }
}

const exampleProject = 'spillway_test'

function toProject({ projects }: TestEventParts, named: unknown): string {
  const { path, entries } = projects.view()
  const known = entries.map(({ project }) => project.id)
  if (named === undefined || named === null || named === '') return known[0] ?? exampleProject
  const isKnown = path === undefined ? typeof named === 'string' : known.includes(String(named))
  if (isKnown && String(named).length <= projectCharsMax) return String(named)
  throw invalid(`project ${JSON.stringify(named)} is not a project of the projects file`)
}

const projectCharsMax = 200

type Test = { uuid: string; project: string; receivedMs: number }

const name = '$spillway_test'
const person = 'spillway-test'

function toEvent(contract: ProtocolName, { uuid, project, receivedMs }: Test): object {
  if (contract === 'capture') return { event: name, distinct_id: person, uuid }
  if (contract === 'link')
    return { event_type: name, event_id: uuid, project_id: project, visitor_id: person }
  if (contract === 'report') return { name, user: person, sessionId: person }
  const app = { app: project, release: 'test', sessionId: person, user: { id: person } }
  return { id: uuid, type: 'custom', name, ts: receivedMs, ...app }
}
