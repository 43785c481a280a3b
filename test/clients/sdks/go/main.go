// Sends events with posthog-go, as an application does.
// Arguments: URL of the server, token, number of events.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/posthog/posthog-go"
)

type counter struct{ delivered, failed atomic.Int64 }

func (c *counter) Success(posthog.APIMessage) { c.delivered.Add(1) }
func (c *counter) Failure(_ posthog.APIMessage, err error) {
	c.failed.Add(1)
	fmt.Fprintln(os.Stderr, "error", err)
}

func main() {
	host, token := os.Args[1], os.Args[2]
	count, _ := strconv.Atoi(os.Args[3])
	results := &counter{}
	client, err := posthog.NewWithConfig(token, posthog.Config{
		Endpoint:       host,
		PersonalApiKey: "phx_own",
		Callback:       results,
	})
	if err != nil {
		panic(err)
	}
	for index := 0; index < count; index++ {
		client.Enqueue(posthog.Capture{
			DistinctId: fmt.Sprintf("user-%d", index),
			Event:      "ordered",
			Properties: posthog.NewProperties().Set("index", index).Set("name", "Ada 🚀"),
		})
	}
	client.Enqueue(posthog.GroupIdentify{Type: "company", Key: "id:5"})
	if err := client.ReloadFeatureFlags(); err != nil {
		fmt.Fprintln(os.Stderr, "error", err)
	}
	if err := client.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "error", err)
	}
	fmt.Printf(`{"delivered":%d,"failed":%d}`, results.delivered.Load(), results.failed.Load())
}
