import { type Clock, dayMs, hourMs } from '../../core/clock.ts'
import type { DedupKey } from '../../core/event.ts'
import type { RedisHandle, RedisScript } from '../../redis/redis.ts'
import { type DedupKeyWords, readDedupKey } from './seen-table.ts'

/** A look-up tries every window of the last 24 hours: three of these, where of hours it would be 25. */
const windowMs = 12 * hourMs
/** Clocks of nodes may differ by this much without missing each other's marks where a window ends. */
const skewMs = 60_000
/** Redis does nothing else while a script runs: one with a thousand markers takes some 2 ms. */
const scriptDedupKeysMax = 1000
/** Hex digits behind those that `readMarker` takes: the hash tag, two for the root set, one for each level below. */
const placeAt = 24
const placeEnd = 29
const rootDigits = 3
const levels = 3
/** With the mark that it is full, below the 512 up to which Redis packs integers. */
const setMembersMax = 500

/**
 * What all nodes have seen, in Redis. A marker is a 63-bit member of a set of integers, which Redis packs into eight bytes
 * each while they are at most 512: about ten bytes a marker in all. So sets are many and small. A marker goes to the root
 * set that three of its digits name; a full set says so by the member 0 and sends what comes to its 16 children. Thus
 * sets fill well whether a window sees a hundred thousand events or half a billion.
 *
 * A new event is taken for a seen one if these 63 bits and the root's 12 agree with any of 36 hours: once in a hundred
 * years at 10,000 events a second.
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

  const find = createGather<DedupKey, boolean>(async (dedupKeys) => {
    const newest = Math.floor((now() + skewMs) / windowMs)
    const oldest = Math.floor((now() - dayMs) / windowMs)
    const calls = toCalls(dedupKeys, redis.isCluster)
    await callAll(calls, findScript, [newest, oldest])
    return toSeen(calls, dedupKeys.length)
  })
  const mark = createGather<DedupKey, never>(async (dedupKeys) => {
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
  /** Which of them any node has marked. Never rejects: what Redis does not tell in time counts as new. */
  find(dedupKeys: readonly DedupKey[]): Promise<readonly boolean[]>
  /** Remembers them for 24 hours at least. Never rejects. */
  mark(dedupKeys: readonly DedupKey[]): Promise<void>
}

/** One script: the markers of a slot, as arguments, with their places in the request. */
type Call = { key: string; members: string[]; indexes: number[]; reply: string }

/** On a Cluster a script per hash tag, since its keys must share a slot; else one for all. */
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

/** A call that failed has no reply, and what it asked for counts as new. */
function toSeen(calls: readonly Call[], length: number): boolean[] {
  const seen = new Array<boolean>(length).fill(false)
  for (const { indexes, reply } of calls)
    for (let at = 0; at < reply.length; at += 1) seen[indexes[at]!] = reply[at] === '1'
  return seen
}

/** A positive integer below 2^63 as decimal digits, without a bigint: 33 bits, and then nine digits. */
function toMember(dedupKey: DedupKey): string {
  readDedupKey(dedupKey, words)
  const high = (words.a >>> 0) + 1 + (words.c & 1) * 2 ** 32
  return `${high}${String((words.b >>> 0) % 1e9).padStart(9, '0')}`
}

const words: DedupKeyWords = { a: 0, b: 0, c: 0 }

/**
 * `KEYS[1]:window` says how many levels of sets a window has, `KEYS[1]:window:digits` is a set. That scripts make their
 * keys is sound on a Cluster as long as they share the hash tag.
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
 * Joins the calls of one turn of the event loop into one, and gives each caller the replies to its own items. A call
 * costs 15 µs whatever it holds, so requests of one event gain most. `send` must not reject.
 */
export function createGather<T, R>(
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
