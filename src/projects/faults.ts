import type { TSchema } from 'typebox'
import Value from 'typebox/value'
import { findOriginFaults } from '../core/cors.ts'
import { shortTextLengthMax } from '../core/limits.ts'
import { toToken } from '../core/token.ts'
import {
  projectsFileSchema,
  toStoredHash,
  type WrittenFile,
  type WrittenProject,
} from './schema.ts'

/**
 * All faults of a projects file, one sentence each. A sentence names the place and never the value:
 * the file contains secrets, and the faults are logged.
 */
export function findFaults(written: unknown): string[] {
  const faults = findShapeFaults(written)
  return faults.length > 0 ? faults : findMeaningFaults(written as WrittenFile)
}

type SchemaError = ReturnType<typeof Value.Errors>[number]

function findShapeFaults(written: unknown): string[] {
  const errors = Value.Errors(projectsFileSchema, written).filter(({ keyword, schemaPath }) => {
    // These errors repeat another one: of the whole union, or of the object with the unknown
    // setting.
    if (keyword === 'boolean' || schemaPath.includes('/anyOf/')) return false
    return keyword !== 'additionalProperties' || isClosed(toSchema(schemaPath))
  })
  return errors.map((error) => `${toPlace(error.instancePath)} ${toProblem(error)}`)
}

/** A schema that allows further settings reports an invalid one by an error of its own. */
const isClosed = (schema: TSchema | undefined) =>
  schema !== undefined && 'additionalProperties' in schema && schema.additionalProperties === false

function toProblem({ keyword, message, params, schemaPath }: SchemaError): string {
  const { additionalProperties: names, allowedValues: values } = params as Record<string, string[]>
  if (keyword === 'additionalProperties') return `has no setting ${names?.join(', ')}`
  if (keyword === 'enum') return `must be ${values?.join(' or ')}`
  const description = toSchema(schemaPath)?.description
  return description === undefined ? message : `must be ${description}`
}

/** `#/properties/projects/items` → that part of the schema. */
function toSchema(schemaPath: string): (TSchema & { description?: string }) | undefined {
  let part: unknown = projectsFileSchema
  for (const key of schemaPath.split('/').slice(1)) part = (part as Record<string, unknown>)?.[key]
  return part as TSchema | undefined
}

/** `/projects/0/tokens/1` → `projects[0].tokens[1]`. */
function toPlace(instancePath: string): string {
  const place = instancePath.replace(/\/(\d+)(?=\/|$)/g, '[$1]').replaceAll('/', '.')
  return place === '' ? 'the file' : place.slice(1)
}

function findMeaningFaults({ projects = [], clients = [], users = [] }: WrittenFile): string[] {
  if (projects.length + clients.length + users.length === 0)
    return ['the file has no project, client or user']
  const tokens = projects.flatMap((project, at) =>
    toPlaced(
      project.tokens?.map((token) => toToken(token) ?? token),
      `projects[${at}].tokens`,
    ),
  )
  const keys = projects.flatMap((project, at) =>
    toPlaced(project.api_keys?.map(toStoredHash), `projects[${at}].api_keys`),
  )
  return [
    ...findRepeats(projects.map(({ id }, at) => [id, `projects[${at}].id`])),
    ...findAppFaults(projects),
    ...projects.flatMap((project, at) => findProjectFaults(project, `projects[${at}]`)),
    ...findRepeats(tokens),
    ...findRepeats(keys),
    ...findRepeats(clients.map(({ id }, at) => [id, `clients[${at}].id`])),
    ...findRepeats(users.map(({ id }, at) => [id, `users[${at}].id`])),
    ...findRepeats(users.map(({ username }, at) => [username, `users[${at}].username`])),
    ...clients.flatMap((client, at) => findClientFaults(client, `clients[${at}]`, projects)),
  ]
}

function findProjectFaults(project: WrittenProject, place: string): string[] {
  const { require_key: requiresKey = false, api_keys: keys = [], origins = [] } = project
  const { bots, enrich } = project
  const hasNoKey = requiresKey && keys.length === 0
  const isUnused = bots !== undefined && enrich !== undefined && !enrich.includes('bots')
  return [
    ...(isUnused ? [`${place}.bots has no effect: ${place}.enrich does not name "bots"`] : []),
    ...(hasNoKey ? [`${place} must have api_keys, because of require_key = true`] : []),
    ...findOriginFaults(origins).map((fault) => `${place}.origins: ${fault}`),
  ]
}

/**
 * An app belongs to one project, because telemetry names only its app. The id of a project is an
 * app of it.
 */
function findAppFaults(projects: readonly WrittenProject[]): string[] {
  const placed = projects.flatMap(({ id, apps = {} }, at): Placed[] => [
    [id, `projects[${at}].id`],
    ...Object.keys(apps).flatMap((app): Placed[] =>
      app === id ? [] : [[app, `projects[${at}].apps.${app}`]],
    ),
  ])
  const isName = (app: string) => app !== '' && app.length <= shortTextLengthMax
  const invalid = placed.filter(([app]) => !isName(app)).map(([, place]) => place)
  const problem = `must be a name of 1 to ${shortTextLengthMax} characters`
  // Ids that are equal are reported elsewhere.
  const isApp = (fault: string) => fault.includes('.apps.')
  return [...invalid.map((place) => `${place} ${problem}`), ...findRepeats(placed).filter(isApp)]
}

type Placed = [value: string, place: string]

function toPlaced(values: readonly string[] | undefined, place: string): Placed[] {
  return (values ?? []).map((value, at) => [value, `${place}[${at}]`])
}

function findRepeats(placed: readonly Placed[]): string[] {
  const first = new Map<string, string>()
  return placed.flatMap(([value, place]) => {
    const other = first.get(value)
    if (other === undefined) first.set(value, place)
    return other === undefined ? [] : [`${place} is the same as ${other}`]
  })
}

function findClientFaults(
  client: NonNullable<WrittenFile['clients']>[number],
  place: string,
  projects: readonly { id: string }[],
): string[] {
  const { project, secret_hash: hash, secret_hashes: hashes, public: isPublic = false } = client
  const ways = [hash !== undefined, hashes !== undefined, isPublic].filter(Boolean)
  const hasOne = ways.length === 1
  const isKnown = project === undefined || projects.some(({ id }) => id === project)
  return [
    ...(hasOne ? [] : [`${place} must have one of secret_hash, secret_hashes and public = true`]),
    ...(isKnown ? [] : [`${place}.project is none of the projects`]),
  ]
}
