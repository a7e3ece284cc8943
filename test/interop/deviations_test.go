package interop

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/envoy-deviations.md")

const deviationsPage = "../../docs/envoy-deviations.md"

// The page lists every request of the comparison whose answer is meant to differ;
// the comparison itself fails when one of them does not.
func TestDeviationsPageIsTrue(t *testing.T) {
	requests, deviating := 0, 0
	var list strings.Builder
	for _, s := range stories {
		requests += len(s.asks)
		for _, a := range s.asks {
			if a.deviates != "" {
				deviating++
				fmt.Fprintf(&list, "- %s (story `%s`, `%s %s`)\n", a.deviates, s.name, method(a), a.path)
			}
		}
	}
	want := []byte(fmt.Sprintf(`# Where we deviate from Envoy

test/interop gives the same bootstrap and the same %d requests, in %d stories, to Envoy 1.39.3 and to lateen-proxy, and compares status, fields, body, what reached the upstream,
response flags, response code details, cluster, route and number of tries. %d of them are meant to differ:

%s
Differences by nature are left out of the comparison: dates, request IDs, service times, the time that is left of a timeout, and the order of response flags.
So is the case of names: in HTTP/1 fields keep the one in which they came, as with Envoy's preserve_case, without which it writes them in lower case.
`, requests, len(stories), deviating, list.String()))
	if *update {
		if err := os.WriteFile(deviationsPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(deviationsPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("docs/envoy-deviations.md is not what the tests say: go test ./test/interop -run Deviations -update")
	}
}

func method(a ask) string {
	if a.method == "" {
		return "GET"
	}
	return a.method
}
