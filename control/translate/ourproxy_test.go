package translate

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// accepting takes listeners without opening sockets.
type accepting struct{}

func (accepting) Update([]*listener.Config) map[string]error { return nil }

// Every story's resources are understood by our own proxy: nothing is nacked.
func TestOurProxyAcceptsStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	must(t, err)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			story, err := txtar.ParseFile(file)
			must(t, err)
			w := newWorld(t, string(story.Files[0].Data))
			s := state.New(state.Config{Listeners: accepting{}, Telemetry: telemetry.New(telemetry.Config{})})
			give(t, s, ads.ClusterType, w.clusters())
			give(t, s, ads.EndpointType, w.loads())
			give(t, s, ads.ListenerType, w.listeners())
			give(t, s, ads.RouteType, w.routes())
		})
	}
}

func give[M proto.Message](t *testing.T, s *state.State, url string, all []M) {
	t.Helper()
	u := ads.Update{Type: url}
	for _, m := range all {
		body, err := anypb.New(m)
		must(t, err)
		u.Set = append(u.Set, ads.Resource{Version: "1", Body: body})
	}
	if err := s.Update(u); err != nil {
		t.Error(err)
	}
}
