package ads

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// restWire asks by HTTP, when something else is wanted and from time to time.
type restWire struct {
	ctx    context.Context
	client *http.Client
	url    string
	kind   string
	node   *core.Node
	every  time.Duration
	*wishes
	// timer and told, the version that was told last, are receive's.
	timer *time.Timer
	told  string
}

// restTimeout is how long an answer may take.
const restTimeout = 10 * time.Second

func newREST(ctx context.Context, c Config) wire {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return c.Server.open(ctx, address) }}
	w := &restWire{
		ctx: ctx, client: &http.Client{Transport: transport, Timeout: restTimeout}, kind: c.Service,
		url: "http://" + c.Server.Address + services[c.Service].path, node: c.Node, every: c.REST, wishes: newWishes(), timer: time.NewTimer(time.Hour),
	}
	w.timer.Stop()
	return w
}

func (w *restWire) close() { w.client.CloseIdleConnections() }

func (w *restWire) receive() (response, string, error) {
	for {
		asked := false
		select {
		case <-w.changed:
			asked = true
		case <-w.timer.C:
		case <-w.ctx.Done():
			return response{}, "", w.ctx.Err()
		}
		w.timer.Reset(w.every)
		m := w.get()
		if asked {
			m.version = "" // what was taken was for other names: servers skip versions that somebody has
		}
		r, err := w.ask(m)
		if errors.Is(err, errUnreadable) {
			return broken(w.kind, err), "", nil
		}
		if err != nil {
			return response{}, "", err
		}
		if r == nil || !asked && r.GetVersionInfo() == w.told && w.told != "" {
			continue // nothing new
		}
		w.told = r.GetVersionInfo()
		r.TypeUrl = w.kind
		return stateOfTheWorld(r), r.GetControlPlane().GetIdentifier(), nil
	}
}

// errUnreadable is of a server that answers, but not with resources.
var errUnreadable = errors.New("not a discovery response")

// ask makes one request; nil is that nothing has changed.
func (w *restWire) ask(m message) (*discovery.DiscoveryResponse, error) {
	req := m.stateOfTheWorld()
	req.Node = w.node
	body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	call, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	call.Header.Set("content-type", "application/json")
	resp, err := w.client.Do(call)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("POST %s: %s", w.url, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return nil, err
	}
	out := &discovery.DiscoveryResponse{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("POST %s: %w: %w", w.url, errUnreadable, err)
	}
	return out, nil
}
