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
      const { id, tokenHash, expiresAtMs, clientId } = family
      const args = [tokenHash, JSON.stringify(family), clientId, expiresAtMs]
      await run(createScript, keyOf(id), args)
    },
    async rotate({ id, presentedHash, nextHash, expiresAtMs, clientId }) {
      const args = [presentedHash, nextHash, clientId ?? '', expiresAtMs]
      return toRotated(await run(rotateScript, keyOf(id), args))
    },
    async revoke(id) {
      await run(revokeScript, keyOf(id), [])
    },
    isRevoked: async (id) => (await run(isRevokedScript, keyOf(id), [])) === 1,
    // The keys expire in Redis.
    purge: async () => {},
    close: () => {},
  }
}

const createScript = {
  name: 'refreshCreate',
  lua: `
redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'family', ARGV[2], 'client', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 1`,
}

const rotateScript = {
  name: 'refreshRotate',
  lua: `
local found = redis.call('HMGET', KEYS[1], 'hash', 'family', 'client', 'revoked')
if not found[1] then return 'unknown' end
if ARGV[3] ~= '' and ARGV[3] ~= found[3] then return 'unknown' end
if found[4] or found[1] ~= ARGV[1] then
  redis.call('HSET', KEYS[1], 'revoked', '1')
  return 'reused'
end
redis.call('HSET', KEYS[1], 'hash', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return found[2]`,
}

const revokeScript = {
  name: 'refreshRevoke',
  lua: `
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'revoked', '1') end
return 1`,
}

const isRevokedScript = {
  name: 'refreshIsRevoked',
  lua: `return redis.call('HEXISTS', KEYS[1], 'revoked')`,
}

function toRotated(answer: unknown): Rotated {
  if (answer === 'unknown' || answer === 'reused') return { outcome: answer }
  return { outcome: 'rotated', family: JSON.parse(String(answer)) as Family }
}
