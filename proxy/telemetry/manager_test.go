package telemetry

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Requests and connections of managers with one prefix are counted together, each under
// the names of what it was.
func TestManager(t *testing.T) {
	tel := New(Config{})
	defer runtime.KeepAlive(tel.Manager("web"))
	for _, r := range []struct {
		protocol stream.Protocol
		info     stream.Info
		begun    bool
	}{
		{stream.HTTP11, stream.Info{Status: 200, HeadReceived: 10, BytesReceived: 1, HeadSent: 20, BytesSent: 2}, true},
		{stream.HTTP2, stream.Info{Status: 503, Flags: stream.NoCluster}, true},
		{stream.HTTP11, stream.Info{Status: 404, Flags: stream.NoRoute}, true},
		{stream.HTTP11, stream.Info{Status: 418, Flags: stream.FaultInjected | stream.Delayed}, true},
		{stream.HTTP11, stream.Info{Status: 301, Details: "direct_response"}, true},
		{stream.HTTP11, stream.Info{Status: 504, Flags: stream.DurationTimeout}, true},
		{stream.HTTP11, stream.Info{Status: 400}, false}, // what cannot be read never begins
		{stream.HTTP11, stream.Info{}, true},             // nobody was answered
	} {
		m := tel.Manager("web")
		m.Connected()
		req := &stream.Request{Protocol: r.protocol, Info: &stream.Info{}}
		if r.begun {
			m.Began(req)
		}
		r.info.Begun = req.Info.Begun
		req.Info = &r.info
		m.Request(req, nil)
		m.Disconnected(time.Now())
	}
	tel.Manager("web").Began(&stream.Request{Info: &stream.Info{}})
	got := map[string]int64{}
	tel.Statistics(func(x stream.Statistic) {
		if got[x.Name] = x.Value; x.Spread != nil {
			got[x.Name] = x.Spread.Total
		}
		if x.Name == "http.web.downstream_rq_5xx" && (x.Family != "http.downstream_rq_5xx" || x.Labels != `http_conn_manager_prefix="web"` || x.Gauge) {
			t.Errorf("got %+v", x)
		}
	})
	want := map[string]int64{
		"http.web.downstream_cx_total": 8, "http.web.downstream_cx_active": 0, "http.web.downstream_cx_destroy": 8, "http.web.downstream_cx_rx_bytes_total": 11, "http.web.downstream_cx_tx_bytes_total": 22,
		"http.web.downstream_rq_total": 8, "http.web.downstream_rq_http1_total": 7, "http.web.downstream_rq_http2_total": 1, "http.web.downstream_rq_active": 1, "http.web.downstream_rq_completed": 7,
		"http.web.downstream_rq_1xx": 0, "http.web.downstream_rq_2xx": 1, "http.web.downstream_rq_3xx": 1, "http.web.downstream_rq_4xx": 3, "http.web.downstream_rq_5xx": 2,
		"http.web.downstream_rq_max_duration_reached": 1, "http.web.no_route": 1, "http.web.no_cluster": 1, "http.web.rq_direct_response": 1, "http.web.fault.aborts_injected": 1, "http.web.fault.delays_injected": 1,
		"http.web.downstream_rq_time": 7, "http.web.downstream_cx_length_ms": 8,
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

// Filters' counters are told beside, one for each name.
func TestCounters(t *testing.T) {
	tel := New(Config{})
	defer runtime.KeepAlive(tel.Counter("http.web.rbac.denied", "http.rbac.denied", ManagerLabel("web;")))
	for range 2 {
		tel.Counter("http.web.rbac.denied", "http.rbac.denied", ManagerLabel("web;")).Count()
	}
	(*stream.Counter)(nil).Count() // nobody reads it
	var got []stream.Statistic
	tel.Statistics(func(x stream.Statistic) { got = append(got, x) })
	if diff := cmp.Diff(got, []stream.Statistic{{Name: "http.web.rbac.denied", Family: "http.rbac.denied", Labels: `http_conn_manager_prefix="web"`, Value: 2}}); diff != "" {
		t.Error(diff)
	}
}

// What listeners that are gone have counted is forgotten, and their log files are
// closed; listeners with one prefix or one file share them.
func TestNothingIsKeptOfListenersThatAreGone(t *testing.T) {
	tel := New(Config{})
	told := func() (names []string) {
		tel.Statistics(func(x stream.Statistic) {
			if x.Name == "http.a.no_route" || x.Name == "http.a.rbac.denied" {
				names = append(names, x.Name)
			}
		})
		return names
	}
	path := filepath.Join(t.TempDir(), "log")
	use := func() {
		m, c := tel.Manager("a"), tel.Counter("http.a.rbac.denied", "", "")
		logs := [2]stream.Observer{}
		for i := range logs {
			var err error
			if logs[i], err = tel.AccessLog(AccessLog{Path: path, Format: Format{Text: "line\n"}}); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		if tel.Manager("a") != m || tel.Counter("http.a.rbac.denied", "", "") != c {
			t.Error("two listeners count apart")
		}
		if got := told(); len(got) != 2 {
			t.Errorf("told of %v", got)
		}
		for _, log := range logs {
			log.Request(sample())
		}
		runtime.KeepAlive(m)
		runtime.KeepAlive(c)
		runtime.KeepAlive(logs)
	}
	use()
	runtime.GC()
	if got := told(); got != nil {
		t.Errorf("told of %v, whom nobody has", got)
	}
	tel.Flush()
	if text, err := os.ReadFile(path); string(text) != "line\nline\n" || len(tel.sinks) != 0 {
		t.Errorf("got %q, %v; %d files are open", text, err, len(tel.sinks))
	}
}

// Names that nobody has any more are forgotten though nobody reads what was counted.
func TestNamesAreForgottenUnread(t *testing.T) {
	tel := New(Config{})
	for i := range 100 {
		tel.Manager(strconv.Itoa(i))
		tel.Counter(strconv.Itoa(i), "", "")
	}
	kept := -1
	for end := time.Now().Add(10 * time.Second); kept != 0 && time.Now().Before(end); runtime.Gosched() {
		runtime.GC()
		kept = tel.managers.size() + tel.counters.size()
	}
	if kept != 0 {
		t.Errorf("%d names are kept", kept)
	}
}

// A prefix is quoted as Prometheus reads it, which knows fewer escapes than Go.
func TestManagerLabel(t *testing.T) {
	if got, want := ManagerLabel("odd\u200b;"), "http_conn_manager_prefix=\"odd\u200b\""; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
