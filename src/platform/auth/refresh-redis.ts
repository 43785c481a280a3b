import type { RedisScript } from '../../redis/redis.ts'
import type { Family, RefreshStore, Rotated } from './refresh.ts'

/** Runs a script on one key and adds the key's prefix. Rejects while Redis is unavailable. */
export type RunScript = (
  script: RedisScript,
  key: string,
  args: readonly (string | number)[],
) => Promise<unknown>

/**
 * Refresh families in Redis, shared by all nodes. Each family is one key, as Redis Cluster
 * requires.
 */
export function createRedisRefreshStore({ run }: { run: RunScript }): RefreshStore {
  const keyOf = (id: string) => `refresh:${id}`

  return {
    async create(family) {
      const { id, tokenHash, expiresAtMs, clientId, endsAtMs } = family
      const args = [tokenHash, JSON.stringify(family), clientId, expiresAtMs, endsAtMs]
      await run(createScript, keyOf(id), args)
    },
    async rotate({ id, presentedHash, nextHash, clientId, ...times }) {
      const args = [presentedHash, nextHash, clientId ?? '', times.expiresAtMs, times.accessUntilMs]
      return toRotated(await run(rotateScript, keyOf(id), args))
    },
    async clientOf(id) {
      return toText(await run(clientScript, keyOf(id), []))
    },
    async revoke(id, untilMs) {
      await run(revokeScript, keyOf(id), [untilMs])
    },
    isRevoked: async (id) => (await run(isRevokedScript, keyOf(id), [])) === 1,
    // The keys expire in Redis.
    purge: async () => {},
    close: () => {},
  }
}

const createScript = {
  name: 'refreshCreate2',
  lua: `
redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'family', ARGV[2], 'client', ARGV[3], 'ends', ARGV[5])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 1`,
}

/** The key outlives the family if access tokens may: else they would be valid again. */
const revoke = (untilMs: string) => `
redis.call('HSET', KEYS[1], 'revoked', '1')
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('PTTL', KEYS[1]) < ${untilMs} - nowMs then
  redis.call('PEXPIREAT', KEYS[1], ${untilMs})
end`

const rotateScript = {
  name: 'refreshRotate2',
  lua: `
local found = redis.call('HMGET', KEYS[1], 'hash', 'family', 'client', 'revoked', 'ends')
if not found[1] then return 'unknown' end
if ARGV[3] ~= '' and ARGV[3] ~= found[3] then return 'unknown' end
if found[4] or found[1] ~= ARGV[1] then
  ${revoke('ARGV[5]')}
  return 'reused'
end
redis.call('HSET', KEYS[1], 'hash', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], math.min(tonumber(ARGV[4]), tonumber(found[5] or ARGV[4])))
return found[2]`,
}

const clientScript = {
  name: 'refreshClient',
  lua: `return redis.call('HGET', KEYS[1], 'client')`,
}

const revokeScript = {
  name: 'refreshRevoke2',
  lua: `${revoke('ARGV[1]')}
return 1`,
}

const isRevokedScript = {
  name: 'refreshIsRevoked',
  lua: `return redis.call('HEXISTS', KEYS[1], 'revoked')`,
}

const toText = (reply: unknown) => (typeof reply === 'string' ? reply : undefined)

function toRotated(answer: unknown): Rotated {
  if (answer === 'unknown' || answer === 'reused') return { outcome: answer }
  return { outcome: 'rotated', family: JSON.parse(String(answer)) as Family }
}
