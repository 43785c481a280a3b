"""Reads with clickhouse-connect at its defaults. Prints one line a result."""

import sys

import clickhouse_connect

client = clickhouse_connect.get_client(host='127.0.0.1', port=int(sys.argv[1]))
print('rows', client.query('SELECT a, s FROM t ORDER BY a').result_rows)
large = client.query("SELECT number, repeat('x', number % 100) FROM numbers(200000)")
print('large', sum(row[0] for row in large.result_rows), large.row_count)
types = """SELECT toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS u, [1, 2] AS l,
  map('a', 1) AS m, toLowCardinality('x') AS c, CAST(NULL AS Nullable(String)) AS n,
  toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC') AS d, (1, 'b') AS p"""
print('types', client.query(types).result_rows)
print('bound', client.query('SELECT {x:String} AS x', parameters={'x': "it's"}).result_rows)
print('command', client.command('SELECT count() FROM t'))
settings = {'max_execution_time': 34}
print('settings', client.query('SELECT 1', settings=settings).result_rows)
with client.query_row_block_stream('SELECT number FROM numbers(100000)') as stream:
    print('stream', sum(len(block) for block in stream))
try:
    client.query('SELECT * FROM nope')
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    print('error', 'UNKNOWN_TABLE' in str(error))

if len(sys.argv) > 2:
    writer = clickhouse_connect.get_client(host='127.0.0.1', port=int(sys.argv[2]))
    writer.command('CREATE TABLE IF NOT EXISTS w (a UInt64, s String) ENGINE = MergeTree ORDER BY a')
    writer.insert('w', [[1, 'x'], [2, 'y']], column_names=['a', 's'])
    print('inserted', writer.query('SELECT a, s FROM w ORDER BY a').result_rows)
