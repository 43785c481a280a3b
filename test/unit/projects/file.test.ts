import { expect, test } from 'bun:test'
import { originRuleText } from '../../../src/core/cors.ts'
import { ProjectsFileError, parseProjectsFile } from '../../../src/projects/file.ts'

function findFaults(text: string, path = 'projects.toml'): readonly string[] {
  try {
    parseProjectsFile(text, path)
    return []
  } catch (error) {
    if (error instanceof ProjectsFileError) return error.faults
    throw error
  }
}

const hash = `$argon2id$v=19$m=65536,t=2,p=1$${'s'.repeat(43)}$${'h'.repeat(43)}`
const project = (lines: string) => `[[projects]]\nid = "a"\n${lines}`

test.each([
  ['an empty file', '', ['the file has no project, client or user']],
  ['a misspelt list', '[[project]]\nid = "a"', ['the file has no setting project']],
  ['a project without id', '[[projects]]', ['projects[0] must have required properties id']],
  ['a misspelt setting', project('token = ["x"]'), ['projects[0] has no setting token']],
  ['an id that is no string', '[[projects]]\nid = 1', ['projects[0].id must be string']],
  [
    'a personal key as token',
    project('tokens = ["ok", "phx_s3cret"]'),
    [
      'projects[0].tokens[1] must be 1 to 64 printable ASCII characters, and not a personal phx_ key',
    ],
  ],
  [
    'a token with a line end inside',
    project('tokens = ["a\\nb"]'),
    [
      'projects[0].tokens[0] must be 1 to 64 printable ASCII characters, and not a personal phx_ key',
    ],
  ],
  [
    'one token twice, once in quotes',
    project(`tokens = ["s3cret", "'s3cret' "]`),
    ['projects[0].tokens[1] is the same as projects[0].tokens[0]'],
  ],
  [
    'a hash cut short',
    project('api_keys = ["sha256:s3cret"]'),
    [
      'projects[0].api_keys[0] must be 1 to 64 printable ASCII characters, and not a personal phx_ key; or sha256: and 64 hex digits',
    ],
  ],
  [
    'a negative quota',
    project('quotas.events = { max = -1, period = "day" }'),
    ['projects[0].quotas.events.max must be >= 0'],
  ],
  [
    'a part of enrichment that does not exist',
    project('enrich = ["browser"]'),
    ['projects[0].enrich[0] must be user_agent or geo or bots or utm'],
  ],
  ['another rule for robots', project('bots = "keep"'), ['projects[0].bots must be mark or drop']],
  [
    'a rule for robots that are not looked for',
    project('enrich = ["geo"]\nbots = "drop"'),
    ['projects[0].bots has no effect: projects[0].enrich does not name "bots"'],
  ],
  [
    'a quota per week',
    project('quotas.events = { max = 1, period = "week" }'),
    ['projects[0].quotas.events.period must be day or month'],
  ],
  [
    'a quota of another category',
    project('quotas.clicks = { max = 1, period = "day" }'),
    ['projects[0].quotas has no setting clicks'],
  ],
  [
    'a rule for addresses that does not exist',
    project('ip = "hash"'),
    ['projects[0].ip must be keep or truncate or drop'],
  ],
  [
    'a property without a name',
    project('drop_properties = [""]'),
    ['projects[0].drop_properties[0] must not have fewer than 1 characters'],
  ],
  [
    'a rate of nothing',
    project('rate = { per_second = 0 }'),
    ['projects[0].rate.per_second must be > 0'],
  ],
  [
    'an origin with a path',
    project('origins = ["https://a.example/x"]'),
    [`projects[0].origins[0] must be ${originRuleText}`],
  ],
  [
    'any origin beside another',
    project('origins = ["*", "https://a.example"]'),
    ['projects[0].origins: "*" allows any origin, so it must stand alone'],
  ],
  [
    'a key that is required of nobody',
    project('require_key = true'),
    ['projects[0] must have api_keys, because of require_key = true'],
  ],
  [
    'an app of two projects',
    `${project('apps = ["ios"]\n')}[[projects]]\nid = "b"\napps.ios = {}`,
    ['projects[1].apps.ios is the same as projects[0].apps.ios'],
  ],
  [
    'an app with the id of another project',
    `${project('apps = ["b"]\n')}[[projects]]\nid = "b"`,
    ['projects[1].id is the same as projects[0].apps.b'],
  ],
  [
    'an app without a name',
    project('apps = ["a", ""]'),
    ['projects[0].apps. must be a name of 1 to 200 characters'],
  ],
  [
    'apps that are one name',
    project('apps = "ios"'),
    ['projects[0].apps must be a list of app names, or a table with settings for each app'],
  ],
  [
    'a sample rate above 1',
    project('sdk.telemetry = { sampleRate = 2 }'),
    ['projects[0].sdk.telemetry.sampleRate must be <= 1'],
  ],
  [
    'a feature that is no switch',
    project('sdk.features = { x = "on" }'),
    ['projects[0].sdk.features.x must be boolean'],
  ],
  [
    'an SDK setting that is a list',
    project('sdk.realtime = { x = [1] }'),
    ['projects[0].sdk.realtime.x must be a string, a number or a boolean'],
  ],
  [
    'a secret in clear',
    '[[clients]]\nid = "c"\nsecret_hash = "s3cret"',
    ['clients[0].secret_hash must be an argon2id hash, as `bun run hash-secret` makes it'],
  ],
  [
    'a placeholder instead of a hash',
    '[[clients]]\nid = "c"\nsecret_hash = "$argon2id$…"',
    ['clients[0].secret_hash must be an argon2id hash, as `bun run hash-secret` makes it'],
  ],
  [
    'a third secret',
    `[[clients]]\nid = "c"\nsecret_hashes = ["${hash}", "${hash}", "${hash}"]`,
    ['clients[0].secret_hashes must not have more than 2 items'],
  ],
  [
    'one secret and a list of secrets',
    `[[clients]]\nid = "c"\nsecret_hash = "${hash}"\nsecret_hashes = ["${hash}"]`,
    ['clients[0] must have one of secret_hash, secret_hashes and public = true'],
  ],
  [
    'a client without secret',
    '[[clients]]\nid = "c"',
    ['clients[0] must have one of secret_hash, secret_hashes and public = true'],
  ],
  [
    'a public client with secret',
    `[[clients]]\nid = "c"\npublic = true\nsecret_hash = "${hash}"`,
    ['clients[0] must have one of secret_hash, secret_hashes and public = true'],
  ],
  [
    'a client of an unknown project',
    '[[clients]]\nid = "c"\npublic = true\nproject = "x"',
    ['clients[0].project is none of the projects'],
  ],
  [
    'two projects of one id',
    `${project('')}${project('')}`,
    ['projects[1].id is the same as projects[0].id'],
  ],
  [
    'one token twice',
    `${project('tokens = ["s3cret"]\n')}[[projects]]\nid = "b"\ntokens = ["s3cret"]`,
    ['projects[1].tokens[0] is the same as projects[0].tokens[0]'],
  ],
  [
    'one key, once as its hash',
    project(
      `api_keys = ["s3cret", "sha256:${new Bun.CryptoHasher('sha256').update('s3cret').digest('hex')}"]`,
    ),
    ['projects[0].api_keys[1] is the same as projects[0].api_keys[0]'],
  ],
  [
    'two users of one name',
    `[[users]]\nid="1"\nusername="s3cret"\npassword_hash="${hash}"\n[[users]]\nid="2"\nusername="s3cret"\npassword_hash="${hash}"`,
    ['users[1].username is the same as users[0].username'],
  ],
  [
    'broken syntax',
    'a = "s3cret\n',
    ['line 1, column 12: Invalid TOML document: control characters are not allowed in strings'],
  ],
])('names the place of %s', (_, text, faults) => {
  expect(findFaults(text)).toEqual(faults)
  expect(faults.join()).not.toContain('s3cret')
})

test('reports all faults at once', () => {
  const text = project('rate = { per_second = -1 }\norigins = ["x"]\n[[users]]\nid = "u"')
  expect(findFaults(text)).toHaveLength(3)
})

test.each([
  ['broken', '{"a": s3cret}', ['JSON Parse error: Unexpected identifier …']],
  ['a list', '[]', ['the file must be object']],
  ['sound', '{"projects":[{"id":"a","rate":{"per_second":0.5}}]}', []],
])('parses JSON that is %s', (_, text, faults) => {
  expect(findFaults(text, 'projects.json')).toEqual(faults)
})

test('the default of burst is twice the rate, and at least 1', () => {
  const rateOf = (perSecond: number) =>
    parseProjectsFile(project(`rate = { per_second = ${perSecond} }`), 'a.toml').projects[0]
      ?.project.rate
  expect([rateOf(50), rateOf(0.1)]).toEqual([
    { perSecond: 50, burst: 100 },
    { perSecond: 0.1, burst: 1 },
  ])
})

test('passes on any SDK setting of a known section', () => {
  const { projects } = parseProjectsFile(project('sdk.telemetry = { debug = true }'), 'a.toml')
  expect(projects[0]?.sdk).toEqual({ telemetry: { debug: true } })
})

test('writes origins as browsers do', () => {
  const origins = ['HTTPS://A.example:443/', 'capacitor://localhost', 'null']
  const { projects } = parseProjectsFile(
    project(`origins = ${JSON.stringify(origins)}`),
    'projects.toml',
  )
  expect(projects[0]?.project.origins).toEqual([
    'https://a.example',
    'capacitor://localhost',
    'null',
  ])
})

test.each([
  ['', undefined],
  ['enrich = []', { parts: [] }],
  ['bots = "drop"', { bots: 'drop' }],
  ['enrich = ["bots", "geo"]\nbots = "drop"', { parts: ['bots', 'geo'], bots: 'drop' }],
])('reads the enrichment of a project: %p', (lines, enrichment) => {
  const [entry] = parseProjectsFile(project(lines), 'projects.toml').projects
  expect(entry?.project.enrichment).toEqual(enrichment as never)
})

test.each([
  ['', undefined],
  ['ip = "keep"', undefined],
  ['ip = "drop"', { ip: 'drop', dropProperties: [] }],
  ['drop_properties = ["email"]', { ip: 'keep', dropProperties: ['email'] }],
] as const)('%s is the privacy %j', (lines, privacy) => {
  expect(parseProjectsFile(project(lines), 'a.toml').projects[0]?.project.privacy).toEqual(privacy)
})
