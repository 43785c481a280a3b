/** The queries of docs/clickhouse.md, ready to run: the first ones for any project. */
export const readyQueries: readonly { name: string; sql: string }[] = [
  {
    name: 'The newest events',
    sql: `SELECT timestamp, project, source, event, distinct_id, properties
FROM events
ORDER BY received_at DESC
LIMIT 100`,
  },
  {
    name: 'Events a minute, in the last hour',
    sql: `SELECT toStartOfMinute(received_at) AS minute, source, count() AS events
FROM events
WHERE received_at >= now() - INTERVAL 1 HOUR
GROUP BY minute, source
ORDER BY minute, source`,
  },
  {
    name: 'Events and people per day, for one week',
    sql: `SELECT toDate(timestamp) AS day, event, count() AS events, uniq(distinct_id) AS people
FROM events FINAL
WHERE project = 'phc_my_project' AND timestamp >= now() - INTERVAL 7 DAY
GROUP BY day, event
ORDER BY day, event`,
  },
  {
    name: 'Events by a property',
    sql: `SELECT JSONExtractString(properties, 'plan') AS plan, count() AS events
FROM events
WHERE project = 'phc_my_project' AND event = 'signed_up'
GROUP BY plan`,
  },
  {
    name: 'The snapshots of one session',
    sql: `SELECT received_at, arrayStringConcat(arrayMap(part -> part.2, arraySort(groupArray((chunk, snapshot_items))))) AS snapshots
FROM recordings FINAL
WHERE project = 'phc_my_project' AND session_id = 'session-1'
GROUP BY received_at, if(chunks > 1, '', toString(uuid))
ORDER BY received_at`,
  },
  {
    name: 'Rejected events since yesterday, by reason',
    sql: `SELECT reason, count() AS events, any(detail) AS example
FROM dead_letters
WHERE received_at >= now() - INTERVAL 1 DAY
GROUP BY reason
ORDER BY events DESC`,
  },
  {
    name: 'Altered events since yesterday, by project, kind and field',
    sql: `SELECT project, JSONExtractString(warning, 'kind') AS kind, JSONExtractString(warning, 'field') AS field,
  count() AS events, any(JSONExtractString(warning, 'value')) AS example
FROM events ARRAY JOIN JSONExtractArrayRaw(properties, '$ingest_warnings') AS warning
WHERE received_at >= now() - INTERVAL 1 DAY
GROUP BY project, kind, field
ORDER BY events DESC`,
  },
]
