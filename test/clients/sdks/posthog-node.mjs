// Sends events with a version of posthog-node, as an application does.
// Arguments: folder of node_modules, name of the package, URL of the server, token, number of events.
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [folder, name, host, token, count] = process.argv.slice(2)
const { PostHog } = createRequire(join(folder, 'package.json'))(name)

const posthog = new PostHog(token, { host, flushAt: 20, personalApiKey: 'phx_own' })
posthog.on?.('error', (error) => console.error('error', error))
for (let index = 0; index < Number(count); index += 1) {
  const properties = { index, name: 'Ada 🚀', $set: { plan: 'scale' } }
  posthog.capture({ distinctId: `user-${index}`, event: 'ordered', properties })
}
posthog.identify({ distinctId: 'user-1', properties: { email: 'ada@example.com' } })
posthog.groupIdentify({ groupType: 'company', groupKey: 'id:5', properties: { size: 11 } })
const flag = posthog.evaluateFlags
  ? (await posthog.evaluateFlags('user-1')).getFlag('some-flag')
  : await posthog.getFeatureFlag('some-flag', 'user-1')
await posthog.reloadFeatureFlags()
await (posthog.shutdownAsync ?? posthog.shutdown).call(posthog)
console.log(JSON.stringify({ flag: flag ?? null }))
