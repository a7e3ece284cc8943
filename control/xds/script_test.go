package xds

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/control/mesh"
)

// A script is a conversation between a client and the planner, one line each:
//
//	= CDS a@1 b@1           the snapshot's table of a type is now this
//	> CDS                   a request without names
//	> EDS +a -b have c@1    an incremental request
//	> EDS a,b               a state-of-the-world request
//	> CDS ack 1             an acknowledgement; names may follow
//	> CDS nack 1 b is bad   a refusal, with its words
//	< CDS#1 a@1 -b          a response, with its nonce
//	! CDS b                 a refusal was reported, with its culprits ("?" while unknown)
//	~                       stop waiting for endpoints that nobody asked for
//
// The lines that the planner says (< and !) must be exactly those of the script.
func play(t *testing.T, v Variant, script string) *Planner {
	t.Helper()
	var got, want []string
	asked := false
	snap := &mesh.Snapshot{Tables: map[string]*mesh.Table{}}
	p := NewPlanner(v, snap)
	drain := func() {
		for {
			r, ok := p.Next()
			if !ok {
				return
			}
			got = append(got, "< "+show(r))
		}
	}
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " //")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		want = append(want, line)
		if line[0] != '<' && line[0] != '!' {
			got = append(got, line)
		}
		words := strings.Fields(line[1:])
		switch line[0] {
		case '=':
			snap = &mesh.Snapshot{Epoch: snap.Epoch + 1, Tables: tables(snap.Tables, words)}
			if asked {
				p.Snapshot(snap)
			} else {
				p = NewPlanner(v, snap)
			}
			drain()
		case '>':
			asked = true
			if rejected, _ := p.Request(request(t, v, words)); rejected != nil {
				got = append(got, "! "+short(rejected.Type)+" "+culprits(rejected))
			}
			drain()
		case '~':
			p.StopWaiting()
			drain()
		}
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("conversation (-got +want):\n%s", diff)
	}
	return p
}

var urls = map[string]string{
	"CDS": mesh.ClusterType, "EDS": mesh.EndpointType, "LDS": mesh.ListenerType, "RDS": mesh.RouteType, "SDS": mesh.SecretType,
}

func short(url string) string {
	for s, u := range urls {
		if u == url {
			return s
		}
	}
	return url
}

func tables(old map[string]*mesh.Table, words []string) map[string]*mesh.Table {
	next := map[string]*mesh.Table{}
	for url, table := range old {
		next[url] = table
	}
	var rs []*mesh.Resource
	for _, w := range words[1:] {
		name, version, _ := strings.Cut(w, "@")
		rs = append(rs, &mesh.Resource{Name: name, Type: urls[words[0]], Version: version, Body: []byte(version)})
	}
	next[urls[words[0]]] = mesh.NewTable(rs)
	return next
}

func request(t *testing.T, v Variant, words []string) Request {
	t.Helper()
	r := Request{Type: urls[words[0]]}
	words = words[1:]
	if len(words) > 0 && (words[0] == "ack" || words[0] == "nack") {
		r.Nonce, r.Nack = words[1], words[0] == "nack"
		words = words[2:]
		if r.Nack {
			r.Error, words = strings.Join(words, " "), nil
		}
	}
	have := false
	for _, w := range words {
		switch {
		case w == "have":
			have, r.Have = true, map[string]string{}
		case have:
			name, version, _ := strings.Cut(w, "@")
			r.Have[name] = version
		case v == StateOfTheWorld:
			r.Names = strings.Split(w, ",")
		case w[0] == '+':
			r.Subscribe = append(r.Subscribe, w[1:])
		case w[0] == '-':
			r.Unsubscribe = append(r.Unsubscribe, w[1:])
		default:
			t.Fatalf("word %q", w)
		}
	}
	return r
}

func show(r Response) string {
	words := []string{fmt.Sprintf("%s#%s", short(r.Type), r.Nonce)}
	for _, res := range r.Resources {
		words = append(words, res.Name+"@"+res.Version)
	}
	slices.Sort(r.Removed)
	for _, name := range r.Removed {
		words = append(words, "-"+name)
	}
	return strings.Join(words, " ")
}

func culprits(r *Rejection) string {
	if len(r.Culprits) == 0 {
		return "?"
	}
	var names []string
	for _, c := range r.Culprits {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}
