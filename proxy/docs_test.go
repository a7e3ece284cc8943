package proxy

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/lateenmesh/lateen/internal/envoyjson"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

var (
	block    = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	indented = regexp.MustCompile(`(?m)^    .*[{:].*$`)
)

// Every configuration in the page is one that the proxy takes, and every list of resources
// is one that the proxy before it takes.
func TestPageIsTaken(t *testing.T) {
	text, err := os.ReadFile("../docs/static.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d blocks found", len(blocks))
	}
	var p *Proxy
	for i, m := range blocks {
		if bytes.Contains(m[0], []byte("\nresources:\n")) {
			err = taken(p, m[1])
		} else {
			p, err = made(m[1])
		}
		if err != nil {
			t.Errorf("block %d: %v\n%s", i+1, err, m[1])
		}
	}
	for _, line := range indented.FindAll(block.ReplaceAll(text, nil), -1) {
		t.Errorf("a configuration that no test loads: write ```yaml\n%s", line)
	}
}

func made(text []byte) (*Proxy, error) {
	config, err := bootstrap.Parse(text)
	if err != nil {
		return nil, err
	}
	return New(Config{Bootstrap: config, Log: slog.New(slog.DiscardHandler)})
}

// taken tells a proxy resources in the form of a discovery response.
func taken(p *Proxy, text []byte) error {
	m := &discovery.DiscoveryResponse{}
	if err := envoyjson.Unmarshal(text, m); err != nil {
		return err
	}
	for _, r := range m.GetResources() {
		if err := p.State().Update(ads.Update{Type: r.GetTypeUrl(), Set: []ads.Resource{{Body: r}}}); err != nil {
			return err
		}
	}
	return nil
}
