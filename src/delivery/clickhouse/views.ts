import { type Dialect, toLiteral } from './tables.ts'

/** A view on `events`, with the comment of each of its columns, in the order of the query. */
export type View = {
  name: string
  comment: string
  columns: Readonly<Record<string, readonly [type: string, comment: string]>>
  query: string
}

const word = 'LowCardinality(String)'
const time = "DateTime64(3, 'UTC')"
const project = [word, 'Id of the project'] as const
const personId = ['String', 'Id of the person: the distinct_id of its last identification'] as const

const isMerge = `source = 'capture' AND event IN ('$identify', '$create_alias')`
/** An id that $identify has named belongs to a person for ever: another event cannot merge it. */
const identified = `SELECT project, distinct_id FROM events WHERE source = 'capture' AND event = '$identify'`
const links = `SELECT project, other AS id, argMax(distinct_id, timestamp) AS target
FROM (
  SELECT project, timestamp, distinct_id,
    JSONExtractString(properties, if(event = '$identify', '$anon_distinct_id', 'alias')) AS other
  FROM events WHERE ${isMerge}
)
WHERE other != '' AND other != distinct_id AND (project, other) NOT IN (${identified})
GROUP BY project, id`

const merged = (id: string) => `coalesce(nullIf(merges.person_id, ''), ${id})`
const withPerson = `LEFT JOIN person_distinct_ids AS merges
  ON merges.project = e.project AND merges.distinct_id = e.distinct_id`

/** Names and raw values of a JSON object, each with whether a later value replaces it. */
const pairs = (replaces: boolean, ...path: string[]) =>
  `arrayMap(pair -> (pair.1, pair.2, ${replaces}), JSONExtractKeysAndValuesRaw(${path.join(', ')}))`

const properties = `SELECT project, person_id,
  concat('{', arrayStringConcat(arraySort(groupArray(concat(toJSONString(name), ':', value))), ','), '}') AS properties
FROM (
  SELECT e.project AS project, ${merged('e.distinct_id')} AS person_id, property.1 AS name,
    if(countIf(property.3) > 0, argMaxIf(property.2, e.timestamp, property.3), argMin(property.2, e.timestamp)) AS value
  FROM (
    SELECT project, distinct_id, timestamp, arrayJoin(if(source = 'telemetry', ${pairs(true, 'user')},
      arrayConcat(${pairs(true, 'user', "'$set'")}, ${pairs(false, 'user', "'$set_once'")}))) AS property
    FROM events WHERE user != '{}'
  ) AS e ${withPerson}
  GROUP BY project, person_id, name
)
GROUP BY project, person_id`

const isPage = `event = '$pageview' OR (source = 'telemetry' AND JSONExtractString(properties, '$type') = 'page')`
const page = `if(source = 'telemetry', event, JSONExtractString(properties, '$current_url'))`
const firstOf = (name: string) =>
  `argMinIf(JSONExtractString(properties, '${name}'), timestamp, JSONHas(properties, '${name}')) AS ${name}`

/** In the order of their creation: a view may read one above it. */
export const views: readonly View[] = [
  {
    name: 'person_distinct_ids',
    comment: 'Ids that $identify or $create_alias has merged into a person',
    columns: {
      project,
      distinct_id: ['String', 'The id that was merged'],
      person_id: personId,
    },
    query: `SELECT a.project AS project, a.id AS distinct_id, coalesce(nullIf(b.target, ''), a.target) AS person_id
FROM (${links}) AS a
LEFT JOIN (${links}) AS b ON b.project = a.project AND b.id = a.target`,
  },
  {
    name: 'persons',
    comment: 'People: one row for each person of a project, from all of its events',
    columns: {
      project,
      person_id: personId,
      distinct_ids: ['Array(String)', 'Ids of the person in events; at most 1000'],
      first_seen: [time, 'Time of the first event'],
      last_seen: [time, 'Time of the last event'],
      events: ['UInt64', 'Number of events'],
      properties: [
        'String',
        'JSON object: the latest value of $set, else the first of $set_once; of telemetry the latest user',
      ],
    },
    query: `SELECT person.project AS project, person.person_id AS person_id, distinct_ids, first_seen, last_seen, events,
  coalesce(nullIf(details.properties, ''), '{}') AS properties
FROM (
  SELECT e.project AS project, ${merged('e.distinct_id')} AS person_id,
    arraySort(groupUniqArray(1000)(e.distinct_id)) AS distinct_ids,
    min(e.timestamp) AS first_seen, max(e.timestamp) AS last_seen, count() AS events
  FROM events AS e ${withPerson}
  GROUP BY project, person_id
) AS person
LEFT JOIN (${properties}) AS details ON details.project = person.project AND details.person_id = person.person_id`,
  },
  {
    name: 'sessions',
    comment: 'Sessions: one row for each session_id of a project',
    columns: {
      project,
      session_id: ['String', 'Session id'],
      distinct_id: ['String', 'User id of the last event'],
      started_at: [time, 'Time of the first event'],
      ended_at: [time, 'Time of the last event'],
      seconds: ['Float64', 'Time from the first to the last event'],
      events: ['UInt64', 'Number of events'],
      pages: ['UInt64', 'Number of page views: $pageview, and page of telemetry'],
      entry_page: ['String', 'First page: $current_url, or the name of telemetry'],
      exit_page: ['String', 'Last page'],
      ...Object.fromEntries(
        ['utm_source', 'utm_medium', 'utm_campaign'].map((name) => [
          name,
          ['String', `First ${name} of the session’s events`] as const,
        ]),
      ),
    },
    query: `SELECT project, session_id, argMax(distinct_id, timestamp) AS distinct_id,
  min(timestamp) AS started_at, max(timestamp) AS ended_at,
  dateDiff('millisecond', started_at, ended_at) / 1000 AS seconds,
  count() AS events, countIf(${isPage}) AS pages,
  argMinIf(${page}, timestamp, ${isPage}) AS entry_page, argMaxIf(${page}, timestamp, ${isPage}) AS exit_page,
  ${['utm_source', 'utm_medium', 'utm_campaign'].map(firstOf).join(',\n  ')}
FROM events WHERE session_id != ''
GROUP BY project, session_id`,
  },
]

export function toCreateView(
  { name, columns, query, comment }: View,
  { onCluster }: Dialect,
): string {
  const definitions = Object.entries(columns).map(
    ([column, [type, text]]) => `${column} ${type} COMMENT ${toLiteral(text)}`,
  )
  return `CREATE VIEW IF NOT EXISTS ${name}${onCluster} (${definitions.join(', ')}) AS
${query}
COMMENT ${toLiteral(comment)}`
}
