import type { Family, RefreshStore, Rotated } from './refresh-store.ts'

/** The one command that refresh families need. It rejects where Redis is away. */
export type RedisScripts = {
  eval(script: string, keys: readonly string[], values: readonly string[]): Promise<unknown>
}

/** Refresh families in Redis, shared by all nodes. Each is one key, so that a cluster can hold them. */
export function createRedisRefreshStore({
  redis,
  prefix,
}: {
  redis: RedisScripts
  prefix: string
}): RefreshStore {
  const keyOf = (id: string) => `${prefix}:refresh:${id}`

  return {
    async create(family) {
      const { tokenHash, expiresAtMs, clientId } = family
      const values = [tokenHash, JSON.stringify(family), clientId, `${expiresAtMs}`]
      await redis.eval(createScript, [keyOf(family.id)], values)
    },
    async rotate({ id, presentedHash, nextHash, expiresAtMs, clientId }) {
      const values = [presentedHash, nextHash, clientId ?? '', `${expiresAtMs}`]
      return toRotated(await redis.eval(rotateScript, [keyOf(id)], values))
    },
    async revoke(id) {
      await redis.eval(revokeScript, [keyOf(id)], [])
    },
    isRevoked: async (id) => (await redis.eval(isRevokedScript, [keyOf(id)], [])) === 1,
    // Redis forgets by itself.
    purge: async () => {},
    close: () => {},
  }
}

const createScript = `
redis.call('HSET', KEYS[1], 'hash', ARGV[1], 'family', ARGV[2], 'client', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 1`

const rotateScript = `
local found = redis.call('HMGET', KEYS[1], 'hash', 'family', 'client', 'revoked')
if not found[1] then return 'unknown' end
if ARGV[3] ~= '' and ARGV[3] ~= found[3] then return 'unknown' end
if found[4] or found[1] ~= ARGV[1] then
  redis.call('HSET', KEYS[1], 'revoked', '1')
  return 'reused'
end
redis.call('HSET', KEYS[1], 'hash', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return found[2]`

const revokeScript = `
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'revoked', '1') end
return 1`

const isRevokedScript = `return redis.call('HEXISTS', KEYS[1], 'revoked')`

function toRotated(answer: unknown): Rotated {
  if (answer === 'unknown' || answer === 'reused') return { outcome: answer }
  return { outcome: 'rotated', family: JSON.parse(String(answer)) as Family }
}
