CREATE TABLE IF NOT EXISTS events (uuid UUID, project LowCardinality(String), source Enum8('capture' = 1, 'telemetry' = 2, 'report' = 3), event LowCardinality(String), distinct_id String, session_id String, timestamp DateTime64(3, 'UTC'), received_at DateTime64(3, 'UTC'), ip String, user_agent String, library LowCardinality(String), properties String CODEC(ZSTD(1)), user String, historical Bool, first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1, INDEX timestamp_range timestamp TYPE minmax GRANULARITY 1, INDEX uuid_filter uuid TYPE bloom_filter(0.025) GRANULARITY 1, INDEX distinct_id_filter distinct_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX session_id_filter session_id TYPE bloom_filter(0.025) GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
PRIMARY KEY (project, toDate(timestamp), event, cityHash64(distinct_id), uuid)
ORDER BY (project, toDate(timestamp), event, cityHash64(distinct_id), uuid, source, distinct_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS recordings (uuid UUID, project LowCardinality(String), session_id String, distinct_id String, window_id String, snapshot_source LowCardinality(String), timestamp DateTime64(3, 'UTC'), received_at DateTime64(3, 'UTC'), ip String, user_agent String, library LowCardinality(String), chunk UInt32, chunks UInt32, ingest_warnings String DEFAULT '[]' CODEC(ZSTD(1)), snapshot_items String CODEC(ZSTD(1)), first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1, INDEX timestamp_range timestamp TYPE minmax GRANULARITY 1, INDEX session_id_filter session_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX distinct_id_filter distinct_id TYPE bloom_filter(0.025) GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
PRIMARY KEY (project, toDate(timestamp), session_id, timestamp, uuid, chunk)
ORDER BY (project, toDate(timestamp), session_id, timestamp, uuid, chunk, distinct_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS link_events (uuid UUID, received_at DateTime64(3, 'UTC'), event_id String, event_type LowCardinality(String), event_time DateTime64(3, 'UTC'), event_attributes String CODEC(ZSTD(1)), link_id String, link_slug String, link_label String, link_title String, link_original_url String, link_attributes String CODEC(ZSTD(1)), link_created_at Nullable(DateTime64(3, 'UTC')), link_expires_at Nullable(DateTime64(3, 'UTC')), link_tags Array(String), user_id String, user_name String, user_email String, user_attributes String CODEC(ZSTD(1)), team_id String, team_name String, team_attributes String CODEC(ZSTD(1)), project_id LowCardinality(String), project_name String, project_attributes String CODEC(ZSTD(1)), qr_code_id String, qr_code_name String, qr_code_attributes String CODEC(ZSTD(1)), visitor_id String, session_id String, ip_address String, country LowCardinality(String), city String, device_type LowCardinality(String), browser LowCardinality(String), os LowCardinality(String), user_agent String, referrer String, utm_source String, utm_medium String, utm_campaign String, utm_term String, utm_content String, time_spent_sec Float64, is_bounce Bool DEFAULT true, is_qr_scan Bool, conversion_type LowCardinality(String), conversion_value Float64, ingest_warnings String DEFAULT '[]' CODEC(ZSTD(1)), first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1, INDEX event_time_range event_time TYPE minmax GRANULARITY 1, INDEX uuid_filter uuid TYPE bloom_filter(0.025) GRANULARITY 1, INDEX event_id_filter event_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX visitor_id_filter visitor_id TYPE bloom_filter(0.025) GRANULARITY 1, INDEX session_id_filter session_id TYPE bloom_filter(0.025) GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
ORDER BY (project_id, toDate(event_time), event_type, event_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS dead_letters (uuid UUID, project LowCardinality(String), protocol LowCardinality(String), stage LowCardinality(String), reason LowCardinality(String), detail String, received_at DateTime64(3, 'UTC'), ip String, raw String CODEC(ZSTD(1)), first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Milli(received_at))) CODEC(T64, LZ4), INDEX received_at_range received_at TYPE minmax GRANULARITY 1)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(received_at)
ORDER BY (project, toDate(received_at), reason, uuid)
TTL toDateTime(received_at) + toIntervalDay(90)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;
