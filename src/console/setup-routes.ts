import type { Config } from '../config/config.ts'
import type { Projects } from '../projects/projects.ts'
import type { ClickHouseReader } from './clickhouse.ts'
import { invalid, readObject, safeHeaders } from './exchange.ts'
import { contracts } from './figures.ts'
import { readyQueries } from './ready-queries.ts'
import type { ConsoleRoutes } from './routes.ts'
import { toSettings } from './settings.ts'
import { toExampleToken, toSnippets } from './snippets.ts'

export type SetupParts = {
  config: Config
  version: string
  projects: Pick<Projects, 'view'>
  clickhouse: ClickHouseReader
  queryPort: number | undefined
  /** In the order of the health details. */
  sinks(): readonly string[]
}

/** Routes of the settings, the projects, and queries on the embedded ClickHouse. */
export function setupRoutes(parts: SetupParts): ConsoleRoutes {
  return { ...sessionRoutes(parts), ...queryRoutes(parts), ...projectRoutes(parts) }
}

function sessionRoutes(parts: SetupParts): ConsoleRoutes {
  const { config, version, clickhouse, projects } = parts
  return {
    'GET session': async ({ request, parameters }) => {
      parameters.assertAllRead()
      return {
        version,
        environment: config.NODE_ENV,
        url: toUrl(config, request),
        workers: config.WORKERS,
        sinks: parts.sinks(),
        clickhouse: clickhouse.kind,
        can_query: clickhouse.kind === 'embedded',
        query_url: toQueryUrl(parts),
        projects_file: projects.view().path !== undefined,
        contracts,
        notes: [],
      }
    },
    'GET settings': async ({ parameters }) => {
      parameters.assertAllRead()
      return { settings: toSettings(config) }
    },
  }
}

/** Where clients reach the server: PUBLIC_URL, else where this request came. */
function toUrl({ PUBLIC_URL: publicUrl }: Config, request: Request): string {
  return publicUrl?.replace(/\/$/, '') ?? new URL(request.url).origin
}

/** The address without the password of CLICKHOUSE_URL. */
function toQueryUrl({ config, queryPort }: SetupParts): string | null {
  const { CLICKHOUSE_URL: remote } = config
  if (remote !== undefined) return new URL(remote).origin
  return queryPort === undefined ? null : `http://127.0.0.1:${queryPort}/`
}

const formats = ['JSON', 'CSVWithNames', 'Parquet'] as const
const fileNames: Record<string, string> = { CSVWithNames: 'result.csv', Parquet: 'result.parquet' }

function queryRoutes(parts: SetupParts): ConsoleRoutes {
  const { clickhouse } = parts
  return {
    'GET queries': async ({ parameters }) => {
      parameters.assertAllRead()
      return { queries: readyQueries, formats, query_url: toQueryUrl(parts) }
    },
    'POST query': async ({ request }) => {
      const { sql, format = 'JSON' } = await readObject(request)
      if (typeof sql !== 'string' || sql.trim() === '') throw invalid('sql is not a statement')
      const known = formats.find((one) => one === format)
      if (known === undefined)
        throw invalid(`format ${JSON.stringify(format)} is not one of ${formats.join(', ')}`)
      return toDownload(await clickhouse.pass(sql, known, request.signal), known)
    },
  }
}

/** A statement may name another format than the one that was asked for, so the type is ClickHouse's. */
function toDownload(reply: Response, format: string): Response {
  const headers = new Headers(safeHeaders)
  headers.set('content-type', reply.headers.get('content-type') ?? 'application/octet-stream')
  const name = fileNames[format]
  if (name !== undefined) headers.set('content-disposition', `attachment; filename="${name}"`)
  return new Response(reply.body, { headers })
}

function projectRoutes({ config, projects }: SetupParts): ConsoleRoutes {
  return {
    'GET projects': async ({ request, parameters }) => {
      parameters.assertAllRead()
      const { path, loadedMs, faults, entries } = projects.view()
      const token = toExampleToken({ entries })
      return {
        file: path ?? null,
        loaded_ms: loadedMs ?? null,
        faults,
        // Tokens of capture are public: every page carries them. Keys are not kept in memory.
        projects: entries.map(({ project, tokens, keyHashes, requiresKey, apps }) => ({
          id: project.id,
          tokens,
          api_keys: keyHashes.length,
          requires_key: requiresKey,
          origins: project.origins ?? null,
          rate: project.rate
            ? { per_second: project.rate.perSecond, burst: project.rate.burst }
            : null,
          quotas: project.quotas,
          enrich: project.enrichment?.parts ?? config.ENRICH ?? [],
          bots: project.enrichment?.bots ?? config.ENRICH_BOTS,
          ip: project.privacy?.ip ?? 'keep',
          drop_properties: project.privacy?.dropProperties ?? [],
          apps: [...apps.keys()],
        })),
        snippets: toSnippets({ url: toUrl(config, request), token }),
        notes: path === undefined ? ['without PROJECTS_FILE every token is a project'] : [],
      }
    },
  }
}
