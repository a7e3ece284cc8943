package telemetry

import (
	"io"
	"os"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Config is what a proxy's telemetry knows from the start.
type Config struct {
	// Local is the workload that the proxy stands beside, and Principal its
	// SPIFFE ID.
	Local     stream.Peer
	Principal string
	// Version is the proxy's, for istio_build.
	Version string
	// FlushInterval is how often access log lines are written; default 1 s.
	FlushInterval time.Duration
	// Stdout and Stderr stand for /dev/stdout and /dev/stderr; nil is the
	// process's own.
	Stdout, Stderr io.Writer
}

// Telemetry makes the observers of a proxy and keeps what they count.
type Telemetry struct {
	cfg Config

	mu    sync.Mutex
	sinks map[string]kept // guarded by mu: by path
	book  book

	managers held[Manager] // by prefix
	counters held[counter] // of filters, by name
}

// kept is a log's file and who writes to it.
type kept struct {
	sink    *sink
	writers weak.Pointer[writer] // nil once no log can write any more
}

// writer is what the logs of one path share.
type writer struct{ *sink }

// New makes a proxy's telemetry. It starts nothing: [Telemetry.Run] writes logs.
func New(cfg Config) *Telemetry {
	if cfg.FlushInterval == 0 {
		cfg.FlushInterval = time.Second
	}
	if cfg.Stdout == nil {
		cfg.Stdout = os.Stdout
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	t := &Telemetry{cfg: cfg, sinks: map[string]kept{}}
	t.book.all = map[string]*series{}
	t.book.known.Store(&map[key]*series{})
	return t
}

// Format compiles text with the access log's operators, for header values.
func (t *Telemetry) Format(text string) (func(*stream.Request, *stream.Response) string, error) {
	return t.Text(text, true)
}

// Text is Format where a missing value may be shown as "-" instead of left out.
func (t *Telemetry) Text(text string, omitEmpty bool) (func(*stream.Request, *stream.Response) string, error) {
	f, err := compileFormat(text, omitEmpty)
	if err != nil {
		return nil, err
	}
	return func(req *stream.Request, resp *stream.Response) string {
		return string(f.appendTo(nil, &record{req: req, resp: resp}))
	}, nil
}

// Body compiles what a reply of the proxy's own says, with the operators and the forms of
// an access log's lines.
func (t *Telemetry) Body(f Format) (func(req *stream.Request, resp *stream.Response, body string) string, error) {
	var line appender
	var err error
	if f.JSON != nil {
		line, err = jsonLine(f.JSON, f.OmitEmpty)
	} else {
		var compiled *format
		if compiled, err = compileFormat(f.Text, f.OmitEmpty); err == nil {
			line = compiled.appendTo
		}
	}
	if err != nil {
		return nil, err
	}
	return func(req *stream.Request, resp *stream.Response, body string) string {
		return string(line(nil, &record{req: req, resp: resp, body: body}))
	}, nil
}

// AccessLog makes an observer that writes a line per request or connection.
func (t *Telemetry) AccessLog(cfg AccessLog) (stream.Observer, error) {
	line, err := lineOf(cfg)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.sinks[cfg.Path]
	if k.sink == nil {
		k.sink = &sink{path: cfg.Path}
		switch cfg.Path {
		case "/dev/stdout":
			k.sink.out = t.cfg.Stdout
		case "/dev/stderr":
			k.sink.out = t.cfg.Stderr
		case "/dev/null":
			k.sink.out = io.Discard
		}
	}
	out := k.writers.Value()
	if out == nil {
		out = &writer{k.sink}
		k.writers = weak.Make(out)
	}
	t.sinks[cfg.Path] = k
	return &log{filter: cfg.Filter, entry: func(req *stream.Request, resp *stream.Response) {
		out.write(line, record{req: req, resp: resp})
		runtime.KeepAlive(out) // or the file might be given up before the line is in it
	}}, nil
}
