import { isJsonObject } from '../../contracts/shared/json.ts'
import { isLargerThan } from '../../contracts/shared/text.ts'
import type { JsonText, LinkRow, SentProperties } from '../../core/event.ts'
import { jsonGuard } from '../../core/json-guard.ts'
import { columnBytesMax } from '../../core/limits.ts'
import type { CacheCounts } from './counts.ts'
import { type Facts, noFacts, toSparseFacts, toSparseMembers } from './facts.ts'
import { createTextCache, type MissBudget } from './text-cache.ts'

/** The part `utm`: campaign parameters and click ids of an address. */
export type Campaigns = {
  /** The campaign of the first address of an event that has one. */
  ofEvent(sent: SentProperties): Campaign
  ofLink(row: LinkRow): Campaign
}

type UtmName = (typeof utmNames)[number]

/** A campaign as properties and as columns. Unknown values are empty. */
export type Campaign = Record<UtmName, string> & {
  facts: Facts
  /** The part of `facts` that has no column. Undefined if there is none. */
  clickIds: Facts | undefined
}

const utmNames = ['utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content'] as const

/** The click ids that posthog-js reads. */
const clickIdNames = [
  ...['gclid', 'gclsrc', 'dclid', 'gbraid', 'wbraid', 'gad_source', 'fbclid', 'msclkid'],
  ...['twclid', 'li_fat_id', 'mc_cid', 'igshid', 'ttclid', 'rdt_cid', 'epik', 'qclid', 'sccid'],
  ...['irclid', '_kx'],
] as const

const names: readonly string[] = [...utmNames, ...clickIdNames]

const noCampaign: Campaign = {
  ...{ utm_source: '', utm_medium: '', utm_campaign: '', utm_term: '', utm_content: '' },
  ...{ facts: noFacts, clickIds: undefined },
}

export function createCampaigns(counts: CacheCounts, budget: MissBudget): Campaigns {
  const queries = createTextCache({
    compute: toCampaign,
    unknown: noCampaign,
    entriesMax: 4096,
    charsMax: queryCharsMax,
    counts,
    budget,
  })
  function find(address: unknown): Campaign | undefined {
    if (typeof address !== 'string') return undefined
    const query = toQuery(address)
    return query !== '' && hasCampaign.test(query) ? queries.of(query) : undefined
  }
  return {
    ofEvent({ $current_url, url, $referrer, referrer }) {
      return find($current_url) ?? find(url) ?? find($referrer) ?? find(referrer) ?? noCampaign
    },
    ofLink: ({ link_original_url, referrer }) =>
      find(link_original_url) ?? find(referrer) ?? noCampaign,
  }
}

/** Most addresses have none. The pattern takes a quarter of the time of parsing the query. */
const hasCampaign = new RegExp(`[?&](?:${names.join('|')})=[^&]`)

/** Longer than any address that a browser shows. */
const queryCharsMax = 2048

/** From the question mark to the fragment. */
function toQuery(address: string): string {
  const start = address.indexOf('?')
  if (start < 0) return ''
  const hash = address.indexOf('#', start)
  const end = Math.min(hash < 0 ? address.length : hash, start + queryCharsMax)
  return address.slice(start, end)
}

/** Total: URLSearchParams keeps what it cannot decode. */
function toCampaign(query: string): Campaign {
  const parameters = new URLSearchParams(query)
  const read = (name: string) => parameters.get(name)?.toWellFormed() ?? ''
  const ids = Object.fromEntries(clickIdNames.map((name) => [name, read(name)]))
  const columns = {
    utm_source: read('utm_source'),
    utm_medium: read('utm_medium'),
    utm_campaign: read('utm_campaign'),
    utm_term: read('utm_term'),
    utm_content: read('utm_content'),
  } satisfies Record<UtmName, string>
  const clickIds = toSparseFacts(ids)
  return {
    ...columns,
    facts: toSparseFacts({ ...columns, ...ids }),
    clickIds: clickIds.json === '' ? undefined : clickIds,
  }
}

/** Fills the columns that are empty. */
export function fillCampaign(campaign: Campaign, row: LinkRow): void {
  if (campaign === noCampaign) return
  if (row.utm_source === '') row.utm_source = campaign.utm_source
  if (row.utm_medium === '') row.utm_medium = campaign.utm_medium
  if (row.utm_campaign === '') row.utm_campaign = campaign.utm_campaign
  if (row.utm_term === '') row.utm_term = campaign.utm_term
  if (row.utm_content === '') row.utm_content = campaign.utm_content
  if (campaign.clickIds) addClickIds(campaign.clickIds, row)
}

/**
 * Link events have no columns for click ids, so these become attributes of the event. Attributes
 * that are not an object stay as they are.
 */
function addClickIds(clickIds: Facts, row: LinkRow): void {
  const sent = parseObject(row.event_attributes)
  const members = sent === undefined ? '' : toSparseMembers(clickIds, sent)
  if (sent === undefined || members === '') return
  const head = row.event_attributes.slice(0, row.event_attributes.lastIndexOf('}'))
  const isEmpty = Object.keys(sent).length === 0
  const attributes = `${head}${isEmpty ? members.slice(1) : members}}`
  if (!isLargerThan(attributes, columnBytesMax)) row.event_attributes = attributes
}

/** The column has been parsed before, so it is JSON. */
function parseObject(json: JsonText): SentProperties | undefined {
  const value = jsonGuard.parse(json)
  return isJsonObject(value) ? value : undefined
}
