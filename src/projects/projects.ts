import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { explainSettingFile, readSettingFile } from '../config/setting-file.ts'
import { type Fault, IngestError } from '../core/errors.ts'
import { createFileCheck, toMark } from '../core/file-check.ts'
import type { Log } from '../core/log.ts'
import type { ClientEntry, SdkOverrides, UserEntry } from '../core/project-entries.ts'
import type { Project, ProtocolName } from '../core/protocol.ts'
import { toKeyHash, tokenRule, toToken } from '../core/token.ts'
import { type PlacedFault, toPlacedFaults } from './fault-lines.ts'
import {
  type ProjectEntry,
  type ProjectsFile,
  ProjectsFileError,
  parseProjectsFile,
} from './file.ts'

/**
 * Finds the project of a request, and its limits. With a projects file, only its projects may send;
 * the file is read again when it changes. Without one, every valid token is a project of its own.
 * Throws a ProjectsFileError if the file is faulty at start. After a faulty edit the last valid
 * content stays in use.
 */
export function createProjects({ path, log, checkMs = 500 }: ProjectsOptions): Projects {
  if (path === undefined) return toProjects({ current: undefined, ...neverLoaded }, noWatch)
  const seen = explainSettingFile('PROJECTS_FILE', path, () => toMark(statSync(path)))
  const loadedMs = Date.now()
  const state: State = { current: toIndex(readAtStart(path)), path, loadedMs, faults: [] }
  const listeners = new Set<() => void>()
  const check = createFileCheck({
    path,
    seen,
    read: (file) => readFile(file, 'utf8'),
    onContent(text) {
      try {
        state.current = toIndex(parseProjectsFile(text, path))
        state.loadedMs = Date.now()
        state.faults = []
      } catch (error) {
        const faults = error instanceof ProjectsFileError ? error.faults : [String(error)]
        state.faults = toPlacedFaults(faults, text)
        log.error(
          { security: 'projects_reload_refused', path, faults },
          'the projects file is faulty; the previous content stays in use; correct the faults',
        )
        return
      }
      const projects = state.current.byId.size
      log.info({ security: 'projects_reloaded', path, projects }, 'projects file read')
      for (const listener of listeners) listener()
    },
    onError(error) {
      log.error(
        { path, error: String(error) },
        'cannot read the projects file; the previous content stays in use',
      )
    },
  })
  const interval = setInterval(check, checkMs)
  interval.unref()
  return toProjects(state, { listeners, close: () => clearInterval(interval) })
}

function readAtStart(path: string): ProjectsFile {
  try {
    return parseProjectsFile(readSettingFile('PROJECTS_FILE', path), path)
  } catch (error) {
    if (!(error instanceof ProjectsFileError)) throw error
    throw new ProjectsFileError(error.faults.map((fault) => `${path}: ${fault}`))
  }
}

export type ProjectsOptions = {
  /** Undefined: every valid token is a project of its own. */
  path?: string | undefined
  log: Log
  /**
   * Interval between two checks of the file. A change is used after the file stayed the same for
   * one interval.
   */
  checkMs?: number
}

export type Projects = {
  /**
   * The project of a request by its credential: a token, an API key, or the project id of a link
   * event. `apiKey` is the header `X-API-KEY`, which a project may require of link events. Throws
   * invalid_token, unknown_token, unknown_project, invalid_api_key.
   */
  find(protocol: ProtocolName, credential: string, apiKey?: string | null): Project
  /**
   * The project of an app of telemetry, or unknown_app or invalid_api_key. Undefined without a
   * projects file: the app is a project of its own.
   */
  findByApp(app: string, apiKey: string | null): Project | Fault | undefined
  /** Total: an id that the file does not name is a project without limits. */
  byId(id: string): Project
  /** Whether the projects file has a project of this id. */
  isListed(id: string): boolean
  /** The file as it is in force, and the faults of a later content that is not. */
  view(): LoadedProjects
  clients(): readonly ClientEntry[]
  users(): readonly UserEntry[]
  /** The overrides of the project, overridden by those of the app. */
  sdkOverrides(projectId: string, app?: string): SdkOverrides
  /** Calls `listener` after each change. Returns a function that ends the subscription. */
  onChange(listener: () => void): () => void
  close(): void
}

type LoadedProjects = {
  /** Undefined without a projects file. */
  path: string | undefined
  loadedMs: number | undefined
  faults: readonly PlacedFault[]
  entries: readonly ProjectEntry[]
}

type Index = {
  byApp: Map<string, ProjectEntry>
  byToken: Map<string, Project>
  byKeyHash: Map<string, Project>
  byId: Map<string, ProjectEntry>
  clients: readonly ClientEntry[]
  users: readonly UserEntry[]
}

/** Without a projects file there is no index. */
type State = { current: Index | undefined } & Omit<LoadedProjects, 'entries'>

const neverLoaded = { path: undefined, loadedMs: undefined, faults: [] }

type Watched = { listeners: Set<() => void>; close(): void }

const noWatch: Watched = { listeners: new Set(), close() {} }

function toIndex({ projects, clients, users }: ProjectsFile): Index {
  return {
    byApp: new Map(
      projects.flatMap((entry) =>
        [entry.project.id, ...entry.apps.keys()].map((app) => [app, entry] as const),
      ),
    ),
    byToken: new Map(projects.flatMap(({ project, tokens }) => tokens.map((t) => [t, project]))),
    byKeyHash: new Map(
      projects.flatMap(({ project, keyHashes }) => keyHashes.map((hash) => [hash, project])),
    ),
    byId: new Map(projects.map((entry) => [entry.project.id, entry])),
    clients,
    users,
  }
}

function toProjects(state: State, { listeners, close }: Watched): Projects {
  const plain = rememberLast(toPlainProject)
  const byId = (id: string) => state.current?.byId.get(id)?.project ?? plain(id)
  return {
    find(protocol, credential, apiKey = null) {
      const { current } = state
      if (protocol === 'capture') return findByToken(current, credential)
      if (protocol === 'report') return findByKey(current, credential)
      if (protocol === 'telemetry' || current === undefined) return plain(credential)
      const found = toSender(current.byId.get(credential), apiKey) ?? unknownProject
      if ('code' in found) throw new IngestError(found.code, found.message)
      return found
    },
    findByApp(app, apiKey) {
      const { current } = state
      return current && (toSender(current.byApp.get(app), apiKey) ?? unknownApp)
    },
    byId,
    isListed: (id) => state.current?.byId.has(id) ?? false,
    view() {
      const { path, loadedMs, faults, current } = state
      return { path, loadedMs, faults, entries: [...(current?.byId.values() ?? [])] }
    },
    clients: () => state.current?.clients ?? [],
    users: () => state.current?.users ?? [],
    sdkOverrides(projectId, app) {
      const entry = state.current?.byId.get(projectId)
      return merge(entry?.sdk ?? {}, entry?.apps.get(app ?? '') ?? {})
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close,
  }
}

function findByToken(index: Index | undefined, token: string): Project {
  if (toToken(token) !== token) throw new IngestError('invalid_token', `a token is ${tokenRule}`)
  if (index === undefined) return toPlainProject(token)
  const project = index.byToken.get(token)
  if (project === undefined) throw new IngestError('unknown_token', 'no project has this token')
  return project
}

function findByKey(index: Index | undefined, key: string): Project {
  const project = toToken(key) === key ? toProjectOfKey(index, toKeyHash(key)) : undefined
  if (project === undefined) throw new IngestError('invalid_api_key', 'the API key is not valid')
  return project
}

function toProjectOfKey(index: Index | undefined, hash: string): Project | undefined {
  return index === undefined
    ? toPlainProject(`key_${hash.slice(0, 16)}`)
    : index.byKeyHash.get(hash)
}

const unknownProject: Fault = { code: 'unknown_project', message: 'no project has this project_id' }
const unknownApp: Fault = { code: 'unknown_app', message: 'app is not an app of any project' }
const missingKey: Fault = {
  code: 'invalid_api_key',
  message: 'the project requires one of its API keys in X-API-KEY',
}

/** The project, if the key is one that it requires. Undefined if there is no such project. */
function toSender(
  entry: ProjectEntry | undefined,
  apiKey: string | null,
): Project | Fault | undefined {
  if (!entry?.requiresKey) return entry?.project
  const key = toToken(apiKey ?? '')
  return key !== undefined && entry.keyHashes.includes(toKeyHash(key)) ? entry.project : missingKey
}

function toPlainProject(id: string): Project {
  return { id, origins: undefined, rate: undefined, quotas: {} }
}

/**
 * The events of a request ask for the same project one after the other, so the last one is kept.
 */
function rememberLast(make: (id: string) => Project): (id: string) => Project {
  let last = make('')
  return (id) => {
    if (last.id !== id) last = make(id)
    return last
  }
}

function merge(ofProject: SdkOverrides, ofApp: SdkOverrides): SdkOverrides {
  const sections = ['telemetry', 'performance', 'realtime', 'features'] as const
  return Object.fromEntries(
    sections.flatMap((section) =>
      ofProject[section] || ofApp[section]
        ? [[section, { ...ofProject[section], ...ofApp[section] }]]
        : [],
    ),
  )
}
