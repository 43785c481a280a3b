CREATE TABLE IF NOT EXISTS events (uuid UUID COMMENT 'Id of the event: the uuid of a capture event; else computed from its identity, or random if it has none', project LowCardinality(String) COMMENT 'Id of the project in the projects file; without a file the token, API key or app', source Enum8('capture' = 1, 'telemetry' = 2, 'report' = 3) COMMENT 'Contract by which the event came', event LowCardinality(String) COMMENT 'Name of the event', distinct_id String COMMENT 'User id; for telemetry without a user the session id', session_id String COMMENT 'Session id; empty if not sent', timestamp DateTime64(3, 'UTC') COMMENT 'When the event happened, UTC; corrected if the client says when it sent; for reports when received', received_at DateTime64(3, 'UTC') COMMENT 'When the server received the event, UTC', ip String COMMENT 'Address of the client; a capture event may name another one', user_agent String COMMENT 'User-Agent header of the client', library LowCardinality(String) COMMENT 'SDK, if a capture event names it in $lib; else empty', properties String COMMENT 'JSON object as sent; telemetry adds $id, $type and $release, report its headers; $ingest_warnings if the event was altered' CODEC(ZSTD(1)), user String COMMENT 'JSON object: $set and $set_once of capture, the user of telemetry, else {}', historical Bool COMMENT 'Whether the event was sent as a migration (historical_migration)', first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) COMMENT 'Version of the row: of rows with the same sorting key, the one received first stays' CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1, INDEX timestamp_range timestamp TYPE minmax GRANULARITY 1, INDEX uuid_filter uuid TYPE bloom_filter(0.025) GRANULARITY 1, INDEX distinct_id_filter distinct_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX session_id_filter session_id TYPE bloom_filter(0.025) GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
PRIMARY KEY (project, toDate(timestamp), event, cityHash64(distinct_id), uuid)
ORDER BY (project, toDate(timestamp), event, cityHash64(distinct_id), uuid, source, distinct_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Events of the contracts capture, telemetry and report';

CREATE TABLE IF NOT EXISTS recordings (uuid UUID COMMENT 'Id of the request’s snapshots of this session', project LowCardinality(String) COMMENT 'Id of the project in the projects file; without a file the token', session_id String COMMENT 'Session id', distinct_id String COMMENT 'User id', window_id String COMMENT 'Window or tab of the session', snapshot_source LowCardinality(String) COMMENT 'Where the recording was made: web or mobile', timestamp DateTime64(3, 'UTC') COMMENT 'When the first snapshot was made, UTC', received_at DateTime64(3, 'UTC') COMMENT 'When the server received the snapshots, UTC', ip String COMMENT 'Address of the client', user_agent String COMMENT 'User-Agent header of the client', library LowCardinality(String) COMMENT 'SDK that recorded', chunk UInt32 COMMENT 'Number of this part, from 0', chunks UInt32 COMMENT 'Number of parts; if above 1, join the parts of a uuid in the order of chunk', ingest_warnings String DEFAULT '[]' COMMENT 'JSON array: how the row differs from the recording as sent' CODEC(ZSTD(1)), snapshot_items String COMMENT 'JSON array of snapshots; if chunks is above 1, one part of its text' CODEC(ZSTD(1)), first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) COMMENT 'Version of the row: of rows with the same sorting key, the one received first stays' CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1, INDEX timestamp_range timestamp TYPE minmax GRANULARITY 1, INDEX session_id_filter session_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX distinct_id_filter distinct_id TYPE bloom_filter(0.025) GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
PRIMARY KEY (project, toDate(timestamp), session_id, timestamp, uuid, chunk)
ORDER BY (project, toDate(timestamp), session_id, timestamp, uuid, chunk, distinct_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Session recordings: the snapshots of one request and session, or one part of them';

CREATE TABLE IF NOT EXISTS link_events (uuid UUID COMMENT 'Id of the row, computed from project and event_id', received_at DateTime64(3, 'UTC') COMMENT 'When the server received the event, UTC', event_id String COMMENT 'Id of the event', event_type LowCardinality(String) COMMENT 'Kind of event: click, view, conversion, …', event_time DateTime64(3, 'UTC') COMMENT 'When the event happened, UTC', event_attributes String COMMENT 'Further attributes of the event; a JSON object' CODEC(ZSTD(1)), link_id String COMMENT 'Id of the link', link_slug String COMMENT 'Short name of the link', link_label String COMMENT 'Label of the link', link_title String COMMENT 'Title of the link', link_original_url String COMMENT 'Address that the link leads to', link_attributes String COMMENT 'Further attributes of the link; a JSON object' CODEC(ZSTD(1)), link_created_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the link was created, UTC; NULL if not sent', link_expires_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the link expires, UTC; NULL if not sent', link_tags Array(String) COMMENT 'Tags of the link', user_id String COMMENT 'Id of the user, as sent', user_name String COMMENT 'Name of the user', user_email String COMMENT 'Mail address of the user', user_attributes String COMMENT 'Further attributes of the user; a JSON object' CODEC(ZSTD(1)), team_id String COMMENT 'Id of the team', team_name String COMMENT 'Name of the team', team_attributes String COMMENT 'Further attributes of the team; a JSON object' CODEC(ZSTD(1)), project_id LowCardinality(String) COMMENT 'Id of the project; default if not sent', project_name String COMMENT 'Name of the project', project_attributes String COMMENT 'Further attributes of the project; a JSON object' CODEC(ZSTD(1)), qr_code_id String COMMENT 'Id of the QR code', qr_code_name String COMMENT 'Name of the QR code', qr_code_attributes String COMMENT 'Further attributes of the QR code; a JSON object' CODEC(ZSTD(1)), visitor_id String COMMENT 'Id of the visitor', session_id String COMMENT 'Session id of the visitor', ip_address String COMMENT 'Address of the visitor', country LowCardinality(String) COMMENT 'Country of the visitor, as sent; looked up: ISO 3166 code', city String COMMENT 'City of the visitor, as sent or looked up', device_type LowCardinality(String) COMMENT 'Kind of device, as sent or by user_agent: desktop, mobile, tablet, …', browser LowCardinality(String) COMMENT 'Browser, as sent or by user_agent', os LowCardinality(String) COMMENT 'Operating system, as sent or by user_agent', user_agent String COMMENT 'User-Agent of the visitor', referrer String COMMENT 'Page that led to the link', utm_source String COMMENT 'Campaign: source', utm_medium String COMMENT 'Campaign: medium', utm_campaign String COMMENT 'Campaign: name', utm_term String COMMENT 'Campaign: search term', utm_content String COMMENT 'Campaign: variant', time_spent_sec Float64 COMMENT 'Time on the page, seconds', is_bounce Bool DEFAULT true COMMENT 'Whether the visitor saw only one page; true if not sent', is_qr_scan Bool COMMENT 'Whether the link was opened by its QR code', conversion_type LowCardinality(String) COMMENT 'Kind of conversion', conversion_value Float64 COMMENT 'Value of the conversion', ingest_warnings String DEFAULT '[]' COMMENT 'JSON array: how the row differs from the event as sent' CODEC(ZSTD(1)), is_bot Bool DEFAULT false COMMENT 'Whether enrichment (bots) found a robot or the preview of a link; else false', first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) COMMENT 'Version of the row: of rows with the same sorting key, the one received first stays' CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1, INDEX event_time_range event_time TYPE minmax GRANULARITY 1, INDEX uuid_filter uuid TYPE bloom_filter(0.025) GRANULARITY 1, INDEX event_id_filter event_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX visitor_id_filter visitor_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX session_id_filter session_id TYPE bloom_filter(0.025) GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
ORDER BY (project_id, toDate(event_time), event_type, event_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Events of link tracking; a field that was not sent is empty, 0 or the contract’s default';

CREATE TABLE IF NOT EXISTS dead_letters (uuid UUID COMMENT 'Id of the dead letter', project LowCardinality(String) COMMENT 'Id of the project', protocol LowCardinality(String) COMMENT 'Contract by which the event came', stage LowCardinality(String) COMMENT 'Where it was rejected: normalise (at intake), or the sink that refused the row', reason LowCardinality(String) COMMENT 'Error code, or the sink’s name for its error', detail String COMMENT 'The error as a sentence', received_at DateTime64(3, 'UTC') COMMENT 'When the server received the event, UTC', ip String COMMENT 'Address of the client', raw String COMMENT 'The event as sent (JSON text), or the row, cut at 16 KiB' CODEC(ZSTD(1)), source LowCardinality(String) ALIAS protocol COMMENT 'The same as protocol, named as in events', first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) COMMENT 'Version of the row: of rows with the same sorting key, the one received first stays' CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
ORDER BY (project, toDate(received_at), reason, uuid)
TTL toDateTime(received_at) + toIntervalDay(90)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Events that were rejected, and rows that a sink refused; kept for 90 days';

CREATE VIEW IF NOT EXISTS person_distinct_ids (project LowCardinality(String) COMMENT 'Id of the project', distinct_id String COMMENT 'The id that was merged', person_id String COMMENT 'Id of the person: the distinct_id of its last identification') AS
SELECT a.project AS project, a.id AS distinct_id, coalesce(nullIf(b.target, ''), a.target) AS person_id
FROM (SELECT project, other AS id, argMax(distinct_id, timestamp) AS target
FROM (
  SELECT project, timestamp, distinct_id,
    JSONExtractString(properties, if(event = '$identify', '$anon_distinct_id', 'alias')) AS other
  FROM events WHERE source = 'capture' AND event IN ('$identify', '$create_alias')
)
WHERE other != '' AND other != distinct_id AND (project, other) NOT IN (SELECT project, distinct_id FROM events WHERE source = 'capture' AND event = '$identify')
GROUP BY project, id) AS a
LEFT JOIN (SELECT project, other AS id, argMax(distinct_id, timestamp) AS target
FROM (
  SELECT project, timestamp, distinct_id,
    JSONExtractString(properties, if(event = '$identify', '$anon_distinct_id', 'alias')) AS other
  FROM events WHERE source = 'capture' AND event IN ('$identify', '$create_alias')
)
WHERE other != '' AND other != distinct_id AND (project, other) NOT IN (SELECT project, distinct_id FROM events WHERE source = 'capture' AND event = '$identify')
GROUP BY project, id) AS b ON b.project = a.project AND b.id = a.target
COMMENT 'Ids that $identify or $create_alias has merged into a person';

CREATE VIEW IF NOT EXISTS persons (project LowCardinality(String) COMMENT 'Id of the project', person_id String COMMENT 'Id of the person: the distinct_id of its last identification', distinct_ids Array(String) COMMENT 'Ids of the person in events; at most 1000', first_seen DateTime64(3, 'UTC') COMMENT 'Time of the first event', last_seen DateTime64(3, 'UTC') COMMENT 'Time of the last event', events UInt64 COMMENT 'Number of events', properties String COMMENT 'JSON object: the latest value of $set, else the first of $set_once; of telemetry the latest user') AS
SELECT person.project AS project, person.person_id AS person_id, distinct_ids, first_seen, last_seen, events,
  coalesce(nullIf(details.properties, ''), '{}') AS properties
FROM (
  SELECT e.project AS project, coalesce(nullIf(merges.person_id, ''), e.distinct_id) AS person_id,
    arraySort(groupUniqArray(1000)(e.distinct_id)) AS distinct_ids,
    min(e.timestamp) AS first_seen, max(e.timestamp) AS last_seen, count() AS events
  FROM events AS e LEFT JOIN person_distinct_ids AS merges
  ON merges.project = e.project AND merges.distinct_id = e.distinct_id
  GROUP BY project, person_id
) AS person
LEFT JOIN (SELECT project, person_id,
  concat('{', arrayStringConcat(arraySort(groupArray(concat(toJSONString(name), ':', value))), ','), '}') AS properties
FROM (
  SELECT e.project AS project, coalesce(nullIf(merges.person_id, ''), e.distinct_id) AS person_id, property.1 AS name,
    if(countIf(property.3) > 0, argMaxIf(property.2, e.timestamp, property.3), argMin(property.2, e.timestamp)) AS value
  FROM (
    SELECT project, distinct_id, timestamp, arrayJoin(if(source = 'telemetry', arrayMap(pair -> (pair.1, pair.2, true), JSONExtractKeysAndValuesRaw(user)),
      arrayConcat(arrayMap(pair -> (pair.1, pair.2, true), JSONExtractKeysAndValuesRaw(user, '$set')), arrayMap(pair -> (pair.1, pair.2, false), JSONExtractKeysAndValuesRaw(user, '$set_once'))))) AS property
    FROM events WHERE user != '{}'
  ) AS e LEFT JOIN person_distinct_ids AS merges
  ON merges.project = e.project AND merges.distinct_id = e.distinct_id
  GROUP BY project, person_id, name
)
GROUP BY project, person_id) AS details ON details.project = person.project AND details.person_id = person.person_id
COMMENT 'People: one row for each person of a project, from all of its events';

CREATE VIEW IF NOT EXISTS sessions (project LowCardinality(String) COMMENT 'Id of the project', session_id String COMMENT 'Session id', distinct_id String COMMENT 'User id of the last event', started_at DateTime64(3, 'UTC') COMMENT 'Time of the first event', ended_at DateTime64(3, 'UTC') COMMENT 'Time of the last event', seconds Float64 COMMENT 'Time from the first to the last event', events UInt64 COMMENT 'Number of events', pages UInt64 COMMENT 'Number of page views: $pageview, and page of telemetry', entry_page String COMMENT 'First page: $current_url, or the name of telemetry', exit_page String COMMENT 'Last page', utm_source String COMMENT 'First utm_source of the session’s events', utm_medium String COMMENT 'First utm_medium of the session’s events', utm_campaign String COMMENT 'First utm_campaign of the session’s events') AS
SELECT project, session_id, argMax(distinct_id, timestamp) AS distinct_id,
  min(timestamp) AS started_at, max(timestamp) AS ended_at,
  dateDiff('millisecond', started_at, ended_at) / 1000 AS seconds,
  count() AS events, countIf(event = '$pageview' OR (source = 'telemetry' AND JSONExtractString(properties, '$type') = 'page')) AS pages,
  argMinIf(if(source = 'telemetry', event, JSONExtractString(properties, '$current_url')), timestamp, event = '$pageview' OR (source = 'telemetry' AND JSONExtractString(properties, '$type') = 'page')) AS entry_page, argMaxIf(if(source = 'telemetry', event, JSONExtractString(properties, '$current_url')), timestamp, event = '$pageview' OR (source = 'telemetry' AND JSONExtractString(properties, '$type') = 'page')) AS exit_page,
  argMinIf(JSONExtractString(properties, 'utm_source'), timestamp, JSONHas(properties, 'utm_source')) AS utm_source,
  argMinIf(JSONExtractString(properties, 'utm_medium'), timestamp, JSONHas(properties, 'utm_medium')) AS utm_medium,
  argMinIf(JSONExtractString(properties, 'utm_campaign'), timestamp, JSONHas(properties, 'utm_campaign')) AS utm_campaign
FROM events WHERE session_id != ''
GROUP BY project, session_id
COMMENT 'Sessions: one row for each session_id of a project';
