import { describe, expect, test } from 'bun:test'
import { createPosthogBoot } from '../../../../src/contracts/capture/posthog-boot.ts'

const { toConfig, toConfigScript, toFlags, flagDefinitions } = createPosthogBoot({
  canRecord: false,
})

/** Runs the script as a browser does. Returns the configurations by token. */
function run(script: string): Record<string, { config: { token: string } }> {
  const window = {} as { _POSTHOG_REMOTE_CONFIG: ReturnType<typeof run> }
  const alert = () => {
    throw new Error('the token was executed')
  }
  new Function('window', 'alert', script)(window, alert)
  return window._POSTHOG_REMOTE_CONFIG
}

describe('config.js', () => {
  test.each([
    ['phc_a', 'phc_a'],
    ['my.token v2', 'my.token v2'],
    [' "phc_a" ', 'phc_a'],
    [`phc');alert('x`, `phc');alert('x`],
    [`a"];alert(1);//`, `a"];alert(1);//`],
    ['a\\', 'a\\'],
    ['</script><script>', '</script><script>'],
    ['__proto__.x', '__proto__.x'],
  ])('stores the configuration under the token %s without executing it', (written, token) => {
    const { status, body } = toConfigScript(written)
    expect(status).toBe(200)
    expect(body).not.toContain('<')
    expect(run(body!)[token]?.config.token).toBe(token)
  })

  test.each(['phx_secret', 'x'.repeat(65), 'a\u0000', 'clé', ''])(
    'refuses the token %j',
    (token) => {
      expect(toConfigScript(token).status).toBe(401)
      expect(toConfig(token).status).toBe(401)
    },
  )
})

test('config contains the token', () => {
  expect(JSON.parse(toConfig("'phc_a'").body!)).toMatchObject({ token: 'phc_a' })
})

test('flags start autocapture of posthog-js before 1.117', () => {
  expect(JSON.parse(toFlags('id').body!).config).toEqual({ enable_collect_everything: true })
})

test.each([
  [true, { endpoint: '/s/' }],
  [false, false],
])('offers session recording only with the script for it: %p', (canRecord, sessionRecording) => {
  const boot = createPosthogBoot({ canRecord })
  const extras = { sessionRecording, autocaptureExceptions: false, capturePerformance: false }
  expect(JSON.parse(boot.toConfig('phc_a').body!)).toMatchObject(extras)
  expect(JSON.parse(boot.toFlags('id').body!)).toMatchObject(extras)
  expect(run(boot.toConfigScript('phc_a').body!).phc_a?.config).toMatchObject(extras)
})

test('there are no flag definitions', () => {
  const empty = { flags: [], group_type_mapping: {}, cohorts: {} }
  expect(JSON.parse(flagDefinitions.body!)).toEqual(empty)
})
