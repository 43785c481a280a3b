// Reads with clickhouse-go over HTTP at its defaults. Prints one line a result.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

func main() {
	address := "127.0.0.1:" + os.Args[1]
	read("plain", clickhouse.OpenDB(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{address}}))
	read("lz4", clickhouse.OpenDB(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{address},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	}))
}

func read(name string, db *sql.DB) {
	// From the deadline the driver computes max_execution_time.
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var a uint64
	var s string
	check(db.QueryRowContext(ctx, "SELECT a, s FROM t WHERE a = ?", 2).Scan(&a, &s))
	fmt.Println(name, "row", a, s)

	rows, err := db.QueryContext(ctx, "SELECT number, repeat('x', number % 100) FROM numbers(200000)")
	check(err)
	var sum, bytes uint64
	for rows.Next() {
		check(rows.Scan(&a, &s))
		sum += a
		bytes += uint64(len(s))
	}
	check(rows.Err())
	fmt.Println(name, "large", sum, bytes)

	var id uuid.UUID
	var list []uint8
	var pairs map[string]uint8
	var text string
	var none *string
	var at time.Time
	check(db.QueryRowContext(ctx, `SELECT toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), [1, 2], map('a', 1),
		toLowCardinality('x'), CAST(NULL AS Nullable(String)), toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC')`).
		Scan(&id, &list, &pairs, &text, &none, &at))
	fmt.Println(name, "types", id, list, pairs, text, none == nil, at.UnixMilli())

	empty, err := db.QueryContext(ctx, "SELECT a, s FROM t WHERE a = 99")
	check(err)
	fmt.Println(name, "empty", empty.Next(), empty.Err() == nil)

	err = db.QueryRowContext(ctx, "SELECT * FROM nope").Scan(&a)
	fmt.Println(name, "error", err != nil && strings.Contains(err.Error(), "Unknown table"))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
