/** What one socket may do, and how many there may be. Source: spec README, "Acks and limits". */
export type RealtimeLimits = {
  topicLengthMax: number
  payloadBytesMax: number
  messagesPerSecond: number
  messagesBurst: number
  subscriptionsMax: number
  /** Refused messages before a socket that keeps on is disconnected; one is forgiven a second. */
  strikesMax: number
  socketsMax: number
  /** What may wait for one slow subscriber, and for all of them together. */
  bufferedBytesMax: number
  bufferedBytesTotalMax: number
  /** A client that sends heartbeats sends one every 30 s; one that stops is cut after three. */
  heartbeatMsMax: number
  /** How often sockets are looked over. An expired token is refused on its next message in any case. */
  sweepMs: number
}

const mib = 1024 * 1024

export const defaultLimits: RealtimeLimits = {
  topicLengthMax: 256,
  payloadBytesMax: mib,
  messagesPerSecond: 100,
  messagesBurst: 200,
  subscriptionsMax: 200,
  strikesMax: 100,
  socketsMax: 50_000,
  bufferedBytesMax: 4 * mib,
  bufferedBytesTotalMax: 256 * mib,
  heartbeatMsMax: 90_000,
  sweepMs: 500,
}

/**
 * A frame or a polling body. Above the payload's limit, so that a payload beyond it is answered by
 * `invalid_message`; only what is far beyond it costs the connection.
 */
export const frameBytesMax = 2 * mib

/** Packets of any kind, also those that never become a message. A message may bring ten attachments. */
export const packetsPerSecond = 1200
export const packetsBurst = 2400
