import Type, { type Static } from 'typebox'
import { originRuleText, toOrigin } from '../core/cors.ts'
import { enrichParts } from '../core/protocol.ts'
import { toKeyHash, tokenRule, toToken } from '../core/token.ts'

const closed = { additionalProperties: false }
const name = Type.String({ minLength: 1, maxLength: 200 })
const names = Type.Optional(Type.Array(name))
const flag = Type.Optional(Type.Boolean())
const share = Type.Optional(Type.Number({ minimum: 0, maximum: 1 }))
const count = Type.Optional(Type.Integer({ minimum: 1 }))
const text = Type.Optional(Type.String())
/**
 * A section of the SDK configuration may have further settings of these types. They are passed on
 * to the SDK.
 */
const open = {
  additionalProperties: Type.Union([Type.String(), Type.Number(), Type.Boolean()], {
    description: 'a string, a number or a boolean',
  }),
}

/**
 * Error messages use the description, because a pattern does not help a person who edits the file.
 */
const matching = (pattern: string, description: string) => Type.String({ pattern, description })
const token = Type.Refine(
  Type.String({ description: tokenRule }),
  (written) => toToken(written) !== undefined,
)
const apiKey = Type.Refine(
  Type.String({ description: `${tokenRule}; or sha256: and 64 hex digits` }),
  (written) =>
    written.startsWith('sha256:') ? storedHash.test(written) : toToken(written) !== undefined,
)
const storedHash = /^sha256:[0-9a-f]{64}$/
const origin = Type.Refine(
  Type.String({ description: originRuleText }),
  (written) => toOrigin(written) !== undefined,
)
const argon2id = matching(
  '^\\$argon2id\\$v=19\\$m=[0-9]+,t=[0-9]+,p=[0-9]+\\$[A-Za-z0-9+/]{11,}\\$[A-Za-z0-9+/]{22,}$',
  'an argon2id hash, as `bun run hash-secret` makes it',
)

const quota = Type.Object(
  { max: Type.Integer({ minimum: 0 }), period: Type.Enum(['day', 'month']) },
  closed,
)

const sdk = Type.Object(
  {
    telemetry: Type.Optional(
      Type.Object(
        {
          enabled: flag,
          endpoint: text,
          sampleRate: share,
          batchSize: count,
          flushInterval: count,
        },
        open,
      ),
    ),
    performance: Type.Optional(
      Type.Object({ enabled: flag, sampleRate: share, webVitals: flag }, open),
    ),
    realtime: Type.Optional(
      Type.Object({ enabled: flag, url: text, heartbeatInterval: count }, open),
    ),
    features: Type.Optional(Type.Record(Type.String(), Type.Boolean())),
  },
  closed,
)

const project = Type.Object(
  {
    id: name,
    tokens: Type.Optional(Type.Array(token)),
    api_keys: Type.Optional(Type.Array(apiKey)),
    require_key: flag,
    origins: Type.Optional(Type.Array(origin)),
    rate: Type.Optional(
      Type.Object(
        {
          per_second: Type.Number({ exclusiveMinimum: 0 }),
          burst: Type.Optional(Type.Number({ minimum: 1 })),
        },
        closed,
      ),
    ),
    quotas: Type.Optional(
      Type.Object(
        {
          events: Type.Optional(quota),
          recordings: Type.Optional(quota),
          exceptions: Type.Optional(quota),
          telemetry: Type.Optional(quota),
          link: Type.Optional(quota),
          report: Type.Optional(quota),
        },
        closed,
      ),
    ),
    enrich: Type.Optional(Type.Array(Type.Enum([...enrichParts]))),
    bots: Type.Optional(Type.Enum(['mark', 'drop'])),
    ip: Type.Optional(Type.Enum(['keep', 'truncate', 'drop'])),
    drop_properties: Type.Optional(Type.Array(name, { maxItems: 100 })),
    sdk: Type.Optional(sdk),
    // A list of names is read as a table without settings.
    apps: Type.Optional(
      Type.Record(Type.String(), sdk, {
        description: 'a list of app names, or a table with settings for each app',
      }),
    ),
  },
  closed,
)

const client = Type.Object(
  {
    id: name,
    secret_hash: Type.Optional(argon2id),
    secret_hashes: Type.Optional(Type.Array(argon2id, { minItems: 1, maxItems: 2 })),
    public: flag,
    permissions: names,
    // Accepted and checked, because existing files have it. Nothing reads it.
    project: Type.Optional(name),
  },
  closed,
)

const user = Type.Object(
  {
    id: name,
    username: name,
    password_hash: argon2id,
    email: text,
    name: text,
    permissions: names,
  },
  closed,
)

/** The shape of the projects file. `file.ts` has an example. */
export const projectsFileSchema = Type.Object(
  {
    projects: Type.Optional(Type.Array(project)),
    clients: Type.Optional(Type.Array(client)),
    users: Type.Optional(Type.Array(user)),
  },
  closed,
)

export type WrittenFile = Static<typeof projectsFileSchema>
export type WrittenProject = NonNullable<WrittenFile['projects']>[number]

/** The SHA-256 of an API key that the file gives as the key itself or as `sha256:` and its hash. */
export function toStoredHash(written: string): string {
  return written.startsWith('sha256:')
    ? written.slice('sha256:'.length)
    : toKeyHash(toToken(written) ?? written)
}
