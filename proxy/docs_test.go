package proxy

import (
	"log/slog"
	"os"
	"regexp"
	"testing"

	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

var block = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// Every configuration in the page is one that the proxy takes.
func TestPageIsTaken(t *testing.T) {
	text, err := os.ReadFile("../docs/static.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d blocks found", len(blocks))
	}
	for i, m := range blocks {
		config, err := bootstrap.Parse(m[1])
		if err == nil {
			_, err = New(Config{Bootstrap: config, Log: slog.New(slog.DiscardHandler)})
		}
		if err != nil {
			t.Errorf("block %d: %v\n%s", i+1, err, m[1])
		}
	}
}
