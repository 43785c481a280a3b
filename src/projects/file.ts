import { parse, TomlError } from 'smol-toml'
import type { ClientEntry, SdkOverrides, UserEntry } from '../core/project-entries.ts'
import type { Project } from '../core/protocol.ts'
import { toStoredHash } from './credentials.ts'
import { toFaults } from './faults.ts'
import type { WrittenFile, WrittenProject } from './schema.ts'

/**
 * Reads a projects file: JSON where the name ends in `.json`, else TOML. Throws ProjectsFileError, which names every
 * fault. All but the ids is optional:
 * ```toml
 * [[projects]]
 * id = "shop"                                # what events are stored under
 * tokens = ["phc_shop"]                      # capture
 * api_keys = ["sk_shop", "sha256:9f86d0…"]   # event report; a key, or its SHA-256 as hex
 * origins = ["https://shop.example"]         # browsers on other sites are refused
 * rate = { per_second = 100, burst = 200 }   # requests per token
 * quotas.events = { max = 1_000_000, period = "month" }    # likewise recordings, exceptions; or per "day"
 * sdk.telemetry = { sampleRate = 0.5 }       # what /api/sdk/config says: telemetry, performance, realtime, features
 * apps.ios.features = { checkout = true }    # the same for one of its apps
 *
 * [[clients]]
 * id = "backend"
 * secret_hash = "$argon2id$…"                # or public = true
 * permissions = ["private:orders"]
 * project = "shop"
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
  const written = path.endsWith('.json') ? parseJson(text) : parseToml(text)
  const faults = toFaults(written)
  if (faults.length > 0) throw new ProjectsFileError(faults)
  const { projects = [], clients = [], users = [] } = written as WrittenFile
  return {
    projects: projects.map(toEntry),
    clients: clients.map((client) => ({
      id: client.id,
      secretHash: client.secret_hash,
      public: client.public ?? false,
      permissions: client.permissions ?? [],
      project: client.project,
    })),
    users: users.map(({ password_hash: passwordHash, permissions = [], ...user }) => ({
      ...user,
      passwordHash,
      permissions,
    })),
  }
}

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
  /** SHA-256 as hex: keys themselves are not kept. */
  keyHashes: readonly string[]
  sdk: SdkOverrides
  apps: Readonly<Record<string, SdkOverrides>>
}

function toEntry({ id, rate, ...written }: WrittenProject): ProjectEntry {
  const project: Project = {
    id,
    origins: written.origins?.map((origin) => origin.toLowerCase()),
    rate: rate && {
      perSecond: rate.per_second,
      burst: rate.burst ?? Math.max(1, 2 * rate.per_second),
    },
    quotas: written.quotas ?? {},
  }
  return {
    project,
    tokens: written.tokens ?? [],
    keyHashes: (written.api_keys ?? []).map(toStoredHash),
    sdk: (written.sdk ?? {}) as SdkOverrides,
    apps: (written.apps ?? {}) as Record<string, SdkOverrides>,
  }
}

/** Both parsers quote what they stumble over, and that may be a secret: a fault says only where, or what kind. */
function parseToml(text: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [complaint] = error.message.split('\n')
    throw new ProjectsFileError([`line ${error.line}, column ${error.column}: ${complaint}`])
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ProjectsFileError([String((error as Error).message).replace(/"[^"]*"/g, '…')])
  }
}
