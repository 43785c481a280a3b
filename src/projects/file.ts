import { parse, TomlError } from 'smol-toml'
import { toOrigin } from '../core/cors.ts'
import type { ClientEntry, SdkOverrides, UserEntry } from '../core/project-entries.ts'
import type { Project } from '../core/protocol.ts'
import { toToken } from '../core/token.ts'
import { findFaults } from './faults.ts'
import { toStoredHash, type WrittenFile, type WrittenProject } from './schema.ts'

/**
 * Parses a projects file: JSON if its name ends in `.json`, else TOML. Throws a ProjectsFileError that names every
 * fault. Only the ids, and a user's name and password_hash, are required:
 * ```toml
 * [[projects]]
 * id = "shop"                                # stored as `project`
 * tokens = ["phc_shop"]                      # project tokens of the capture contract
 * api_keys = ["sk_shop", "sha256:9f86d0…"]   # keys of the report contract, or their SHA-256 as hex
 * require_key = true                         # telemetry and link events must have one of them in X-API-KEY
 * origins = ["https://shop.example"]         # browsers on other origins get 403; "*" alone: any
 * rate = { per_second = 100, burst = 200 }   # requests of each contract
 * quotas.events = { max = 1_000_000, period = "month" }    # also recordings, exceptions; period "day" or "month"
 * quotas.telemetry = { max = 10_000, period = "day" }      # also link, report; else each has one like `events`
 * enrich = ["user_agent", "geo", "bots", "utm"]   # what is filled in; [] nothing; absent: as ENRICH
 * bots = "drop"                              # events of robots: "mark" or "drop"; absent: as ENRICH_BOTS
 * ip = "truncate"                            # or "drop"; else "keep"
 * drop_properties = ["email", "phone"]       # removed before anything is stored
 * sdk.telemetry = { sampleRate = 0.5 }       # overrides /api/sdk/config: telemetry, performance, realtime, features
 * apps.ios.features = { checkout = true }    # the same for one app; or apps = ["ios", "android"]: names only
 *
 * [[clients]]
 * id = "backend"
 * secret_hash = "$argon2id$…"                # or public = true; or secret_hashes = ["new", "old"]
 * permissions = ["private:orders"]
 * project = "shop"                           # optional; must exist, and has no effect yet
 *
 * [[users]]
 * id = "u1"
 * username = "ada"
 * password_hash = "$argon2id$…"
 * email = "ada@example.com"
 * name = "Ada"
 * permissions = ["private:*"]
 * ```
 */
export function parseProjectsFile(text: string, path: string): ProjectsFile {
  const written = toAppTables(path.endsWith('.json') ? parseJson(text) : parseToml(text))
  const faults = findFaults(written)
  if (faults.length > 0) throw new ProjectsFileError(faults)
  const { projects = [], clients = [], users = [] } = written as WrittenFile
  return {
    projects: projects.map(toEntry),
    clients: clients.map((client) => ({
      id: client.id,
      secretHashes: client.secret_hashes ?? toList(client.secret_hash),
      public: client.public ?? false,
      permissions: client.permissions ?? [],
    })),
    users: users.map(({ password_hash: passwordHash, permissions = [], ...user }) => ({
      ...user,
      passwordHash,
      permissions,
    })),
  }
}

const toList = (value: string | undefined) => (value === undefined ? [] : [value])

export class ProjectsFileError extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.name = 'ProjectsFileError'
    this.faults = faults
  }
}

export type ProjectsFile = { projects: ProjectEntry[]; clients: ClientEntry[]; users: UserEntry[] }

export type ProjectEntry = {
  project: Project
  tokens: readonly string[]
  /** SHA-256 of the API keys as hex. The keys themselves are not kept in memory. */
  keyHashes: readonly string[]
  /** Telemetry and link events must carry one of the keys. */
  requiresKey: boolean
  sdk: SdkOverrides
  /** The apps whose telemetry belongs to the project, with their settings for the SDK. */
  apps: ReadonlyMap<string, SdkOverrides>
}

function toEntry({ id, rate, ...written }: WrittenProject): ProjectEntry {
  const project: Project = {
    id,
    origins: written.origins?.map((origin) => toOrigin(origin) ?? origin),
    rate: rate && {
      perSecond: rate.per_second,
      burst: rate.burst ?? Math.max(1, 2 * rate.per_second),
    },
    quotas: written.quotas ?? {},
    enrichment:
      written.enrich || written.bots ? { parts: written.enrich, bots: written.bots } : undefined,
    privacy: toPrivacy(written),
  }
  return {
    project,
    tokens: (written.tokens ?? []).map((token) => toToken(token) ?? token),
    keyHashes: (written.api_keys ?? []).map(toStoredHash),
    requiresKey: written.require_key ?? false,
    sdk: (written.sdk ?? {}) as SdkOverrides,
    apps: new Map(Object.entries(written.apps ?? {}) as [string, SdkOverrides][]),
  }
}

type WrittenPrivacy = Pick<WrittenProject, 'ip' | 'drop_properties'>

function toPrivacy({ ip = 'keep', drop_properties: dropProperties = [] }: WrittenPrivacy) {
  return ip === 'keep' && dropProperties.length === 0 ? undefined : { ip, dropProperties }
}

/** Replaces each list of app names by a table, so that the schema has one form only. */
function toAppTables(written: unknown): unknown {
  const { projects } = (written ?? {}) as { projects?: unknown }
  if (!Array.isArray(projects)) return written
  const toTable = (project: { apps?: unknown } | null) =>
    isNameList(project?.apps)
      ? { ...project, apps: Object.fromEntries(project.apps.map((name) => [name, {}])) }
      : project
  return { ...(written as object), projects: projects.map(toTable) }
}

const isNameList = (apps: unknown): apps is string[] =>
  Array.isArray(apps) && apps.every((name) => typeof name === 'string')

/**
 * The messages of both parsers quote the text at the error. That may be a secret, so only place and
 * kind are kept.
 */
function parseToml(text: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [problem] = error.message.split('\n')
    throw new ProjectsFileError([`line ${error.line}, column ${error.column}: ${problem}`])
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ProjectsFileError([String((error as Error).message).replace(/"[^"]*"/g, '…')])
  }
}
