import type { JsonText } from './event.ts'

/**
 * A row of `link_events`: one column per documented field, of the same name and in the same order. Times in ms,
 * null where the client sent none; what it did not send is empty, 0, or the default of the contract.
 */
export type LinkRow = LinkCore &
  LinkTarget &
  LinkPeople &
  LinkVisitor &
  LinkReferral &
  LinkInteraction

export type LinkCore = {
  uuid: string
  received_at: number
  event_id: string
  event_type: string
  event_time: number
  event_attributes: JsonText
}

export type LinkTarget = {
  link_id: string
  link_slug: string
  link_label: string
  link_title: string
  link_original_url: string
  link_attributes: JsonText
  link_created_at: number | null
  link_expires_at: number | null
  link_tags: readonly string[]
}

export type LinkPeople = {
  user_id: string
  user_name: string
  user_email: string
  user_attributes: JsonText
  team_id: string
  team_name: string
  team_attributes: JsonText
  project_id: string
  project_name: string
  project_attributes: JsonText
  qr_code_id: string
  qr_code_name: string
  qr_code_attributes: JsonText
}

export type LinkVisitor = {
  visitor_id: string
  session_id: string
  ip_address: string
  country: string
  city: string
  device_type: string
  browser: string
  os: string
  user_agent: string
}

export type LinkReferral = {
  referrer: string
  utm_source: string
  utm_medium: string
  utm_campaign: string
  utm_term: string
  utm_content: string
}

export type LinkInteraction = {
  time_spent_sec: number
  is_bounce: boolean
  is_qr_scan: boolean
  conversion_type: string
  conversion_value: number
}
