import { isbot } from 'isbot'
import { UAParser } from 'ua-parser-js'
import type { LinkRow, SentProperties } from '../../core/event.ts'
import type { CacheCounts } from './counts.ts'
import { type Facts, noFacts, toFacts } from './facts.ts'
import { createTextCache, type MissBudget } from './text-cache.ts'

/** The parts `user_agent` and `bots`: what a User-Agent says. */
export type Agents = {
  of(userAgent: string): Agent
}

export type Agent = {
  /** Device, browser and operating system, as properties and as columns. Empty if unknown. */
  facts: Facts
  device: string
  browser: string
  os: string
  /** Whether a visitor with this User-Agent is a robot or fetches the preview of a link. */
  isRobot: boolean
  /**
   * The same for the header of a request: there the name of a program is mostly that of an SDK or an
   * HTTP library, which sends events of other people.
   */
  isCallingRobot: boolean
}

export function createAgents(counts: CacheCounts, budget: MissBudget): Agents {
  return createTextCache({
    compute: toAgent,
    unknown,
    entriesMax: 4096,
    charsMax: agentCharsMax,
    counts,
    budget,
  })
}

/** The parser itself reads 500 characters. */
const agentCharsMax = 500

const noNames = { facts: noFacts, device: '', browser: '', os: '' }
const unknown: Agent = { ...noNames, isRobot: false, isCallingRobot: false }

/** Total: a text that no pattern knows has no facts. */
function toAgent(userAgent: string): Agent {
  const isRobot = isbot(userAgent) || isPreview.test(userAgent)
  const isCallingRobot = isRobot && (isBrowser.test(userAgent) || isNamedRobot.test(userAgent))
  return { ...toNames(userAgent), isRobot, isCallingRobot }
}

/** Robots that call themselves a browser are told from browsers by `isbot`. */
const isBrowser = /^(?:mozilla|opera)\//i
/** Fetchers of previews that `isbot` does not know. */
const isPreview = /larkurl2png|feishu.*preview|dingtalkbot|kakaotalk-scrap|line-poker|preview\b/i
/** Robots and fetchers of previews whose name is not that of a program of somebody else. */
const isNamedRobot = new RegExp(
  [
    // A robot that says where its operator can be reached.
    '(?:bot|crawler|spider|fetcher|preview)\\b.*(?:https?:|\\+|@|compatible)',
    '^(?:whatsapp|skypeuripreview|viber|snapchat|facebookexternalhit|facebookcatalog|meta-external)',
    '^(?:google|bing|apple|duckduck|yandex|petal|ahrefs|semrush|gpt|claude|perplexity|cc)bot\\b',
    '^(?:twitter|telegram|slack|discord|linkedin|pinterest|reddit|mattermost|dingtalk)bot\\b',
    '^(?:slackbot-|vkshare|embedly|iframely|bluesky cardyb|mastodon/|baiduspider|kakaotalk-scrap)',
  ].join('|'),
  'i',
)

function toNames(userAgent: string): typeof noNames {
  const parser = new UAParser(userAgent)
  const { name: system, version: systemVersion } = parser.getOS()
  const os = toName(system)
  const { name, version } = parser.getBrowser()
  const browser = toBrowser(toName(name), os)
  const device = toDevice(parser.getDevice().type, os)
  const facts = toFacts({
    $browser: browser,
    $browser_version: browser === '' ? undefined : toNumber(version),
    $os: os,
    $os_version: os === '' ? undefined : toVersion(systemVersion),
    $device_type: deviceTypes[device],
  })
  return { facts, device, browser, os }
}

/** The bits of the properties that an event does not have, in the order of `facts`. Null counts as sent. */
export function toAbsentAgent(sent: SentProperties): number {
  return (
    (sent.$browser === undefined ? 1 : 0) |
    (sent.$browser_version === undefined ? 2 : 0) |
    (sent.$os === undefined ? 4 : 0) |
    (sent.$os_version === undefined ? 8 : 0) |
    (sent.$device_type === undefined ? 16 : 0)
  )
}

/** Fills the columns that are empty. */
export function fillAgent({ device, browser, os }: Agent, row: LinkRow): void {
  if (row.device_type === '') row.device_type = device
  if (row.browser === '') row.browser = browser
  if (row.os === '') row.os = os
}

/**
 * One spelling for each name, that of posthog-js where it has one: the parser returns some names as
 * the client wrote them, and each spelling would be another value of the column.
 */
const names = new Map(
  Object.entries({
    Edge: 'Microsoft Edge',
    IE: 'Internet Explorer',
    IEMobile: 'Internet Explorer Mobile',
    'Mac OS': 'Mac OS X',
    'Chromium OS': 'Chrome OS',
    UCBrowser: 'UC Browser',
    Facebook: 'Facebook Mobile',
    GSA: 'Google Search App',
    ...toOwnNames(
      'Android Linux Ubuntu Debian Fedora FreeBSD OpenBSD NetBSD Tizen KaiOS HarmonyOS',
    ),
    ...toOwnNames('OpenHarmony BlackBerry Symbian Bada webOS PlayStation Xbox Nintendo Windows'),
    ...toOwnNames('Chrome Chromium Firefox Safari Opera Vivaldi Brave DuckDuckGo Silk Instagram'),
    ...toOwnNames('Snapchat Twitter Line LinkedIn WeChat Weibo Alipay QQBrowser Electron Mozilla'),
    ...toOwnNames('WebKit KHTML Netscape SeaMonkey Puffin Whale'),
    'mobile safari': 'Mobile Safari',
    'windows phone': 'Windows Phone',
  }).map(([written, name]) => [written.toLowerCase(), name]),
)

function toOwnNames(list: string): Record<string, string> {
  return Object.fromEntries(list.split(' ').map((name) => [name, name]))
}

/** Empty if there is none, or if it is not a name. */
function toName(name: string | undefined): string {
  if (name === undefined || !isName.test(name)) return ''
  return names.get(name.toLowerCase()) ?? name
}

const isName = /^[\w .+()/-]{1,40}$/

/** posthog-js tells these browsers on iOS, which are another program, from the others. */
function toBrowser(browser: string, os: string): string {
  return os === 'iOS' && (browser === 'Chrome' || browser === 'Firefox')
    ? `${browser} iOS`
    : browser
}

const deviceTypes: Readonly<Record<string, string>> = {
  desktop: 'Desktop',
  mobile: 'Mobile',
  tablet: 'Tablet',
  console: 'Console',
  smarttv: 'TV',
  wearable: 'Wearable',
  embedded: 'Embedded',
}

const desktopSystems: ReadonlySet<string> = new Set([
  ...['Windows', 'Mac OS X', 'Linux', 'Chrome OS', 'Ubuntu', 'Debian', 'Fedora'],
  ...['FreeBSD', 'OpenBSD', 'NetBSD'],
])

/** The parser names no type for desktops, and none for systems that it does not know. */
function toDevice(type: string | undefined, os: string): string {
  if (type !== undefined) return type
  return desktopSystems.has(os) ? 'desktop' : ''
}

/** `126.0.6478.61` is 126, and `17.4.1` is 17.4: posthog-js sends a number, too. */
function toNumber(version: string | undefined): number | undefined {
  const number = Number.parseFloat(version ?? '')
  return number >= 0 && number < versionMax ? number : undefined
}

const versionMax = 1e6

function toVersion(version: string | undefined): string {
  return version !== undefined && isVersion.test(version) ? version : ''
}

const isVersion = /^[\w.-]{1,20}$/
