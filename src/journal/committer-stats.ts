/** What a committer tells of itself: for metrics, health and the journal's budget. */
export type CommitterStats = {
  pendingRequests: number
  /** Encoded and not yet on disk. */
  pendingBytes: number
  commits: number
  eventsAppended: number
  /** Commits that failed; under `DURABILITY=memory`, that were not written behind. */
  failures: number
  /** How long the commit under way has been running; 0 between commits. */
  stuckMs: number
  /** Whether the last commit failed. */
  isFailing: boolean
  lastError: string | undefined
}
