import { Cluster, Redis } from 'ioredis'
import { toBackoffMs, withTimeLimit } from '../core/async.ts'
import type { Log } from '../core/log.ts'

/** Failures in a row, not in all: a busy server times out now and then. */
const failuresMax = 5
const probeMs = 1000
const reconnectMsMax = 1000
const deadMsByDefault = 5000
const connectMsMax = 2000

/**
 * The one connection to Redis, single or Cluster (several comma-separated nodes in `url`). Needs Redis 6.2 or newer.
 * Nothing waits longer than `timeoutMs` for it: a call fails, five failures in a row keep further calls from it, and a
 * probe a second finds out when it is back. What it is asked for must have an answer without it.
 */
export function createRedis(options: RedisOptions): RedisHandle {
  return new Handle(options)
}

/** The hash tags under which the dedup spreads over the nodes of a Cluster. */
export const slotTags = [...'0123456789abcdef']

export type RedisOptions = {
  /** `redis[s]://user:password@host:port/db`; several, comma-separated, are nodes of one Cluster. */
  url: string
  /** Before every key. */
  prefix: string
  timeoutMs: number
  /** A connection that owes a reply for so long is given up, with all that queued up behind it. */
  deadMs?: number
  log: Log
}

export type RedisHandle = {
  /** A Cluster wants all keys of one script in one slot. */
  readonly isCluster: boolean
  readonly counts: { calls: number; failures: number; skipped: number }
  /** Connected, and not failing. */
  isAvailable(): boolean
  /** The same for who would call now: what it forbids counts as skipped. */
  mayCall(): boolean
  /** Resolves with true once it is connected, with false after `timeoutMs`. */
  whenAvailable(timeoutMs: number): Promise<boolean>
  /** Never rejects: `otherwise` stands in for a Redis that is away, late or in error. */
  run<T>(call: (commands: RedisCommands) => Promise<T>, otherwise: T): Promise<T>
  /** For what has no answer without Redis: rejects instead. */
  require<T>(call: (commands: RedisCommands) => Promise<T>): Promise<T>
  close(): void
}

export type RedisCommands = {
  get(key: string): Promise<string | null>
  set(key: string, value: string, ttlMs: number): Promise<void>
  delete(key: string): Promise<void>
  /** Runs a script whose keys all begin with `key`, and thus share its slot. */
  script(script: RedisScript, key: string, args: readonly (string | number)[]): Promise<unknown>
}

/** `KEYS[1]` is the key with the prefix; the script makes further keys from it. */
export type RedisScript = { name: string; lua: string }

/** Connections for what does not go through a breaker: streams, read by connections that block. Keys get no prefix. */
export type RedisStreams = {
  /** Rejects where Redis is away, or takes longer than `timeoutMs`. */
  call(command: string, values: readonly (string | number)[]): Promise<unknown>
  /** Calls wait for the connection and for as long as Redis blocks them. It comes back by itself. */
  connectReader(): RedisReader
  close(): void
}

export type RedisReader = Pick<RedisStreams, 'call' | 'close'>

export function createRedisStreams({ url, timeoutMs }: StreamsOptions): RedisStreams {
  const writer = connect(url, { socketTimeout: deadMsByDefault })
  return {
    call: (command, values) => within(timeoutMs, writer.call(command, ...values)),
    connectReader() {
      const reader = connect(url, { maxRetriesPerRequest: null })
      return {
        call: (command, values) => reader.call(command, ...values),
        close: () => reader.disconnect(),
      }
    },
    close: () => writer.disconnect(),
  }
}

export type StreamsOptions = Pick<RedisOptions, 'url' | 'timeoutMs'>

type Client = Redis | Cluster

class Handle implements RedisHandle {
  readonly isCluster: boolean
  readonly counts = { calls: 0, failures: 0, skipped: 0 }
  readonly #client: Client
  readonly #commands: RedisCommands
  readonly #timeoutMs: number
  readonly #log: Log
  readonly #probing: Timer
  #failuresInRow = 0
  #wasAvailable: boolean | undefined

  constructor({ url, prefix, timeoutMs, log, deadMs = deadMsByDefault }: RedisOptions) {
    this.#timeoutMs = timeoutMs
    this.#log = log
    this.#client = connect(url, { keyPrefix: `${prefix}:`, socketTimeout: deadMs })
    this.isCluster = this.#client instanceof Cluster
    this.#commands = toCommands(this.#client)
    this.#client.on('error', (error) => this.#note(error))
    this.#client.on('ready', () => this.#note())
    this.#client.on('close', () => this.#note())
    this.#probing = setInterval(() => this.#probe(), probeMs)
    this.#probing.unref()
  }

  isAvailable(): boolean {
    return this.#client.status === 'ready' && this.#failuresInRow < failuresMax
  }

  mayCall(): boolean {
    const isAvailable = this.isAvailable()
    if (!isAvailable) this.counts.skipped += 1
    return isAvailable
  }

  async whenAvailable(timeoutMs: number): Promise<boolean> {
    if (this.isAvailable()) return true
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#client.once('ready', resolve)
    await withTimeLimit(promise, timeoutMs, () => {})
    this.#client.off('ready', resolve)
    return this.isAvailable()
  }

  async run<T>(call: (commands: RedisCommands) => Promise<T>, otherwise: T): Promise<T> {
    return this.mayCall() ? this.#attempt(call).catch(() => otherwise) : otherwise
  }

  async require<T>(call: (commands: RedisCommands) => Promise<T>): Promise<T> {
    if (this.mayCall()) return this.#attempt(call)
    throw new Error('Redis is away')
  }

  close(): void {
    clearInterval(this.#probing)
    this.#client.removeAllListeners('close')
    this.#client.disconnect()
  }

  async #attempt<T>(call: (commands: RedisCommands) => Promise<T>): Promise<T> {
    this.counts.calls += 1
    try {
      const result = await within(this.#timeoutMs, call(this.#commands))
      this.#failuresInRow = 0
      return result
    } catch (error) {
      this.counts.failures += 1
      this.#failuresInRow += 1
      this.#note(error)
      throw error
    }
  }

  /** Reads a key of every slot that the dedup uses, since one node of a Cluster may be away. */
  async #probe(): Promise<void> {
    if (this.#failuresInRow < failuresMax || this.#client.status !== 'ready') return
    const keys = this.isCluster ? slotTags.map((tag) => `probe:{${tag}}`) : ['probe']
    const reads = (commands: RedisCommands) => Promise.all(keys.map((key) => commands.get(key)))
    await this.#attempt(reads).catch(() => {})
    this.#note()
  }

  /** A line for each change, not for each failure. */
  #note(error?: unknown): void {
    const isAvailable = this.isAvailable()
    if (isAvailable === this.#wasAvailable) return
    this.#wasAvailable = isAvailable
    const reason = error instanceof Error ? { error: error.message } : {}
    if (isAvailable) this.#log.info({}, 'Redis is there')
    else this.#log.warn(reason, 'Redis is away: every node counts for itself')
  }
}

type Extra = { keyPrefix?: string; socketTimeout?: number; maxRetriesPerRequest?: null }

function connect(url: string, extra: Extra): Client {
  const urls = url.split(',').map((part) => (part.includes('://') ? part : `redis://${part}`))
  const client = urls.length === 1 ? connectOne(urls[0]!, extra) : connectCluster(urls, extra)
  // Without a listener ioredis prints them.
  client.on('error', () => {})
  return client
}

const reconnectBackoff = { firstMs: 100, maxMs: reconnectMsMax }
const retryStrategy = (times: number) => toBackoffMs(times, reconnectBackoff, Math.random)
const connecting = { connectTimeout: connectMsMax, autoResendUnfulfilledCommands: false }
/** Only who may wait for ever has a queue to wait in: any other would grow while Redis is away. */
const mayWait = ({ maxRetriesPerRequest }: Extra) => maxRetriesPerRequest === null

function connectOne(url: string, extra: Extra): Redis {
  return new Redis(url, {
    ...connecting,
    ...extra,
    retryStrategy,
    enableOfflineQueue: mayWait(extra),
  })
}

function connectCluster(urls: readonly string[], { keyPrefix, ...extra }: Extra): Cluster {
  const { username, password, protocol } = new URL(urls[0]!)
  return new Cluster([...urls], {
    ...(keyPrefix === undefined ? {} : { keyPrefix }),
    enableOfflineQueue: mayWait(extra),
    clusterRetryStrategy: retryStrategy,
    // Nodes are connected to by their first call, which has to be sent again then. A lost one's calls end soon.
    retryDelayOnFailover: 10,
    maxRedirections: 5,
    slotsRefreshInterval: reconnectMsMax,
    redisOptions: {
      ...connecting,
      ...extra,
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' ? { tls: {} } : {}),
    },
  })
}

function toCommands(client: Client): RedisCommands {
  return {
    get: (key) => client.get(key),
    async set(key, value, ttlMs) {
      await client.set(key, value, 'PX', ttlMs)
    },
    async delete(key) {
      await client.del(key)
    },
    script({ name, lua }, key, args) {
      const scripts = client as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
      if (scripts[name] === undefined) client.defineCommand(name, { lua, numberOfKeys: 1 })
      return scripts[name]!(key, ...args)
    },
  }
}

const within = <T>(msMax: number, promise: Promise<T>) =>
  withTimeLimit(promise, msMax, () => {
    throw new Error(`no reply within ${msMax} ms`)
  })
