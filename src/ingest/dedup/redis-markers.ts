import { type Clock, dayMs, hourMs } from '../../core/clock.ts'
import type { DedupKey } from '../../core/event.ts'
import type { RedisHandle, RedisScript } from '../../redis/redis.ts'
import { type DedupKeyWords, readDedupKey } from './seen-table.ts'

/**
 * A look-up searches all windows of the last 24 hours: three of 12 hours, compared with 25 of one
 * hour.
 */
const windowMs = 12 * hourMs
/** The clocks of nodes may differ by this much; more could miss keys near the end of a window. */
const skewMs = 60_000
/** A script blocks Redis: with a thousand keys it takes some 2 ms. */
const scriptDedupKeysMax = 1000
/**
 * Hex digits after those that `readDedupKey` uses: the first is also the hash tag, three name the
 * root set, then one a level.
 */
const placeAt = 24
const placeEnd = 29
const rootDigits = 3
const levels = 3
/** Below 512, up to which Redis stores a set of integers compactly. */
const setMembersMax = 500

/**
 * The dedup keys of all nodes, in Redis. A key is stored as a 63-bit member of a set of integers.
 * Redis stores a set of at most 512 integers in eight bytes each: about ten bytes a key in total.
 * So there are many small sets: a key goes to the root set that three of its hex digits name, and
 * once a set holds 500 members, further keys go to one of its 16 children. Sets fill well whether a
 * window holds a hundred thousand events or half a billion.
 *
 * A new event is taken for a duplicate if the 63 bits and the 12 bits of the root agree with any
 * key of 36 hours: once in a hundred years at 10,000 events a second.
 */
export function createRedisDedupKeys({ redis, now }: RedisDedupKeysOptions): RedisDedupKeys {
  const callAll = (calls: readonly Call[], script: RedisScript, window: number[]) =>
    redis.run(async (commands) => {
      await Promise.all(
        calls.map(async (call) => {
          const reply = await commands.script(script, call.key, [...window, ...call.members])
          call.reply = String(reply)
        }),
      )
    }, undefined)

  const find = createBatcher<DedupKey, boolean>(async (dedupKeys) => {
    const newest = Math.floor((now() + skewMs) / windowMs)
    const oldest = Math.floor((now() - dayMs) / windowMs)
    const calls = toCalls(dedupKeys, redis.isCluster)
    await callAll(calls, findScript, [newest, oldest])
    return toSeen(calls, dedupKeys.length)
  })
  const mark = createBatcher<DedupKey, never>(async (dedupKeys) => {
    const window = Math.floor(now() / windowMs)
    const expireSeconds = Math.ceil(((window + 1) * windowMs + dayMs + skewMs) / 1000)
    await callAll(toCalls(dedupKeys, redis.isCluster), markScript, [window, expireSeconds])
    return []
  })

  return {
    isAvailable: () => redis.mayCall(),
    find,
    async mark(dedupKeys) {
      await mark(dedupKeys)
    },
  }
}

export type RedisDedupKeysOptions = { redis: RedisHandle; now: Clock }

export type RedisDedupKeys = {
  isAvailable(): boolean
  /**
   * For each key, whether any node has marked it. Never rejects: without an answer of Redis in time
   * a key counts as new.
   */
  find(dedupKeys: readonly DedupKey[]): Promise<readonly boolean[]>
  /** Stores the keys for 24 hours at least. Never rejects. */
  mark(dedupKeys: readonly DedupKey[]): Promise<void>
}

/** One script call: the keys of one slot as arguments, and their indexes in the request. */
type Call = { key: string; members: string[]; indexes: number[]; reply: string }

/**
 * On a Cluster one call per hash tag, because the keys of a script must share a slot; otherwise one
 * for all.
 */
function toCalls(dedupKeys: readonly DedupKey[], isCluster: boolean): Call[] {
  const calls: Call[] = []
  const open = new Map<string, Call>()
  dedupKeys.forEach((dedupKey, index) => {
    const key = isCluster ? `seen:{${dedupKey[placeAt]}}` : 'seen'
    let call = open.get(key)
    if (call === undefined || call.members.length === scriptDedupKeysMax) {
      call = { key, members: [], indexes: [], reply: '' }
      open.set(key, call)
      calls.push(call)
    }
    call.members.push(dedupKey.slice(placeAt, placeEnd) + toMember(dedupKey))
    call.indexes.push(index)
  })
  return calls
}

/** A failed call has no reply: its keys count as new. */
function toSeen(calls: readonly Call[], length: number): boolean[] {
  const seen = new Array<boolean>(length).fill(false)
  for (const { indexes, reply } of calls)
    for (let at = 0; at < reply.length; at += 1) seen[indexes[at]!] = reply[at] === '1'
  return seen
}

/**
 * A positive integer below 2^63 as decimal digits: 33 bits followed by nine digits. No bigint, for
 * speed.
 */
function toMember(dedupKey: DedupKey): string {
  readDedupKey(dedupKey, words)
  const high = (words.a >>> 0) + 1 + (words.c & 1) * 2 ** 32
  return `${high}${String((words.b >>> 0) % 1e9).padStart(9, '0')}`
}

const words: DedupKeyWords = { a: 0, b: 0, c: 0 }

/**
 * `KEYS[1]:window` holds the number of levels of sets in a window, `KEYS[1]:window:digits` is a
 * set. Scripts derive their keys from KEYS[1]: allowed on a Cluster because all of them share its
 * hash tag.
 */
const findScript: RedisScript = {
  name: 'spillwayFindMarkers',
  lua: `
local prefixes, depths = {}, {}
for window = ARGV[1], ARGV[2], -1 do
  local depth = redis.call('GET', KEYS[1] .. ':' .. window)
  if depth then
    prefixes[#prefixes + 1] = KEYS[1] .. ':' .. window .. ':'
    depths[#depths + 1] = tonumber(depth)
  end
end
local function is_seen(arg)
  local member = string.sub(arg, ${placeEnd - placeAt + 1})
  for level = 0, ${levels - 1} do
    local place = string.sub(arg, 1, ${rootDigits} + level)
    local isDeep = false
    for w = 1, #prefixes do
      if depths[w] > level then
        isDeep = true
        if redis.call('SISMEMBER', prefixes[w] .. place, member) == 1 then return '1' end
      end
    end
    if not isDeep then return '0' end
  end
  return '0'
end
local seen = {}
for i = 3, #ARGV do seen[i - 2] = is_seen(ARGV[i]) end
return table.concat(seen)`,
}

const markScript: RedisScript = {
  name: 'spillwayMarkMarkers',
  lua: `
local window = KEYS[1] .. ':' .. ARGV[1]
local depth = tonumber(redis.call('GET', window) or 0)
for i = 3, #ARGV do
  local arg = ARGV[i]
  local member = string.sub(arg, ${placeEnd - placeAt + 1})
  for level = 0, ${levels - 1} do
    local key = window .. ':' .. string.sub(arg, 1, ${rootDigits} + level)
    local size = redis.call('SCARD', key)
    if size < ${setMembersMax} or level == ${levels - 1} then
      redis.call('SADD', key, member)
      if size == 0 then redis.call('EXPIREAT', key, ARGV[2]) end
      if level >= depth then
        depth = level + 1
        redis.call('SET', window, depth, 'EXAT', ARGV[2])
      end
      break
    end
  end
end`,
}

/**
 * Batches the calls of one event-loop iteration into one, and gives each caller the replies to its
 * own items. A call costs 15 µs whatever it holds, so requests of one event gain most. `send` must
 * not reject.
 */
function createBatcher<T, R>(
  send: (items: readonly T[]) => Promise<readonly R[]>,
): (items: readonly T[]) => Promise<readonly R[]> {
  let waiting: T[] = []
  let replies: Promise<readonly R[]> | undefined

  function sendSoon(): Promise<readonly R[]> {
    const { promise, resolve } = Promise.withResolvers<readonly R[]>()
    setImmediate(() => {
      const items = waiting
      waiting = []
      replies = undefined
      resolve(send(items))
    })
    return promise
  }

  return async (items) => {
    const start = waiting.length
    for (const item of items) waiting.push(item)
    replies ??= sendSoon()
    return (await replies).slice(start, start + items.length)
  }
}
