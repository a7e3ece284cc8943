package ads

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Config says whom to ask and as whom.
type Config struct {
	// Node is who asks; it goes with the first request of each stream.
	Node *core.Node
	// SotW asks for the state of the world instead of delta.
	SotW bool
	// Server is where the control plane is and how to reach it; none for a file.
	Server Server
	// Service is the type of resource whose own service is asked; empty asks the
	// aggregated one.
	Service string
	// REST asks by HTTP as often; 0 is gRPC.
	REST time.Duration
	// File is read instead of asking a server.
	File File
	// Source is what updates say of where they come from.
	Source string
	// Sink takes what arrives.
	Sink Sink
	// Backoff is the first pause after a lost stream; it doubles up to
	// MaxBackoff, and each pause is jittered. Default 500 ms up to 3 s:
	// a control plane that is back should be found soon.
	Backoff, MaxBackoff time.Duration
	Log                 *slog.Logger
}

// name is what the log calls the control plane.
func (c *Config) name() string { return cmp.Or(c.File.Path, c.Server.Address) }

// streams reports whether there is a stream to the control plane. Only on one do
// resources have a time to live: who asks is told of what lives on.
func (c *Config) streams() bool { return c.REST == 0 && c.File.Path == "" }

// Status is how the conversation goes.
type Status struct {
	Connected bool
	// Server is the control plane's name for itself, when it told.
	Server string
	// Error is why there is no connection.
	Error error
	Types map[string]TypeStatus // by type URL
}

// TypeStatus is how one type of resource goes.
type TypeStatus struct {
	Version            string // of the last accepted response
	Accepted, Rejected uint64 // responses
	// Nack is the text of the last refusal when the last response was refused.
	Nack string
	// Updated is when a response was last accepted.
	Updated time.Time

	repeated int // refusals with the same words in a row
}

// With adds up how a type goes that comes from two sources.
func (t TypeStatus) With(other TypeStatus) TypeStatus {
	t.Accepted, t.Rejected = t.Accepted+other.Accepted, t.Rejected+other.Rejected
	t.Version, t.Nack = cmp.Or(other.Version, t.Version), cmp.Or(other.Nack, t.Nack)
	if other.Updated.After(t.Updated) {
		t.Updated = other.Updated
	}
	return t
}

// Client keeps one stream to the control plane. While there is none, what the
// sink has stays in force.
type Client struct {
	config  Config
	connect func(context.Context, Config) (wire, error)
	proto   protocol // owned by Run's goroutine
	lives   lives    // owned by Run's goroutine
	woken   chan struct{}

	mu     sync.Mutex       // guards what follows
	wishes map[string]*wish // by type URL
	status Status
}

// wish is what is wanted of one type.
type wish struct {
	names []string // sorted
	// left are the names that were not wanted at some time since the last request:
	// what comes of one that is wanted again is new to whoever wants it.
	left map[string]bool
	// asked is true once a request was made, dirty while one is to be made.
	asked, dirty bool
}

// New makes a client; Run starts it.
func New(c Config) *Client {
	if c.Backoff == 0 {
		c.Backoff = 500 * time.Millisecond
	}
	if c.MaxBackoff == 0 {
		c.MaxBackoff = 3 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	client := &Client{
		config: c, connect: openWire, proto: newDelta(), lives: newLives(), woken: make(chan struct{}, 1),
		wishes: map[string]*wish{},
		status: Status{Types: map[string]TypeStatus{}},
	}
	if c.SotW || !c.streams() {
		client.proto = newSotW()
	}
	return client
}

// Want replaces the names of a type that are asked for; [Everything] may be among
// them. It may be called from any goroutine, also from the sink.
func (c *Client) Want(typeURL string, names []string) {
	names = slices.Clone(names)
	slices.Sort(names)
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.wishes[typeURL]
	if w == nil {
		w = &wish{}
		c.wishes[typeURL] = w
	} else if slices.Equal(w.names, names) {
		return
	}
	if w.asked {
		w.leave(names)
	}
	w.names, w.dirty = names, true
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// leave notes which names are not among the next ones, which are sorted.
func (w *wish) leave(next []string) {
	for _, name := range w.names {
		for len(next) > 0 && next[0] < name {
			next = next[1:]
		}
		if len(next) > 0 && next[0] == name {
			continue
		}
		if w.left == nil {
			w.left = map[string]bool{}
		}
		w.left[name] = true
	}
}

// Status tells how the conversation goes.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Types = maps.Clone(s.Types)
	return s
}

// Run keeps a stream up until ctx ends, and returns its error then.
func (c *Client) Run(ctx context.Context) error {
	pause := backoff{first: c.config.Backoff, most: c.config.MaxBackoff}
	for {
		heard, err := c.converse(ctx)
		if heard {
			pause.reset()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := pause.next()
		c.disconnected(err)
		c.config.Log.Warn("control plane lost, configuration stays as it is",
			"address", c.config.name(), "error", err, "retry", wait)
		paused, over := context.WithTimeout(ctx, wait)
		await(c, paused.Done())
		over()
	}
}

// await waits for a value of ch, which must come when Run's context ends. Meanwhile
// resources outlive their time, as they do on a stream.
func await[T any](c *Client, ch <-chan T) T {
	for {
		select {
		case v := <-ch:
			return v
		case <-c.lives.timer.C:
			c.expire()
		}
	}
}

// converse holds one stream until it breaks. It reports whether anything was
// heard on it.
func (c *Client) converse(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var w wire
	opened := make(chan error, 1)
	go func() {
		var err error
		w, err = c.connect(ctx, c.config)
		opened <- err
	}()
	if err := await(c, opened); err != nil {
		return false, err
	}
	defer w.close()
	responses, failed := receive(ctx, w)
	defer func() { cancel(); <-failed }()
	later := newPostponed()
	defer later.timer.Stop()
	if err := c.open(w); err != nil {
		return false, err
	}
	for {
		select {
		case r := <-responses:
			if !heard {
				heard = true
				c.connected(r.server)
			}
			m, wait := c.handle(r.response)
			if wait > 0 {
				later.add(m, wait)
				continue
			}
			if err := w.send(m); err != nil {
				return heard, err
			}
		case <-c.lives.timer.C:
			c.expire()
		case <-later.timer.C:
			for _, m := range later.take() {
				if err := w.send(m); err != nil {
					return heard, err
				}
			}
		case <-c.woken:
		case err := <-failed:
			failed <- nil // for the deferred wait
			if err == nil {
				err = errors.New("the control plane ended the stream")
			}
			return heard, err
		}
		if err := c.sendWishes(w); err != nil {
			return heard, err
		}
	}
}

type arrived struct {
	response
	server string
}

// receive reads w in a goroutine of its own, which ends when w does or ctx is
// cancelled and then reports why on failed.
func receive(ctx context.Context, w wire) (<-chan arrived, chan error) {
	responses, failed := make(chan arrived), make(chan error, 1)
	go func() {
		for {
			r, server, err := w.receive()
			if err != nil {
				failed <- err
				return
			}
			select {
			case responses <- arrived{r, server}:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	return responses, failed
}

// open asks a new stream for everything that is wanted.
func (c *Client) open(w wire) error {
	for _, m := range c.proto.open() {
		if err := w.send(m); err != nil {
			return err
		}
	}
	return c.sendWishes(w)
}

// sendWishes tells the server what Want changed since the last time. A name that
// was not wanted meanwhile is taken back before it is asked for anew.
func (c *Client) sendWishes(w wire) error {
	for {
		url, names, left, ok := c.nextWish()
		if !ok {
			return nil
		}
		var messages []message
		kept := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return left[name] })
		if len(kept) < len(names) {
			messages = c.proto.want(url, kept)
		}
		if !slices.Contains(names, Everything) {
			c.lives.forget(url, left)
		}
		for _, m := range append(messages, c.proto.want(url, names)...) {
			if err := w.send(m); err != nil {
				return err
			}
		}
	}
}

func (c *Client) nextWish() (url string, names []string, left map[string]bool, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for each, w := range c.wishes {
		if w.dirty && (!ok || byOrder(each, url) < 0) {
			url, ok = each, true
		}
	}
	if !ok {
		return "", nil, nil, false
	}
	w := c.wishes[url]
	names, left = w.names, w.left
	w.left, w.asked, w.dirty = nil, true, false
	return url, names, left, true
}

// handle gives a response to the sink. It returns the answer for the server,
// and how long to wait with it: some servers send what was refused again at
// once, for ever.
func (c *Client) handle(r response) (m message, wait time.Duration) {
	r.update.Source = c.config.Source
	var err error
	if r.news() {
		err = c.config.Sink.Update(r.update)
	}
	if err == nil && c.config.streams() {
		c.lives.note(r, time.Now())
	}
	m = c.proto.answer(r, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.status.Types[r.typeURL]
	switch {
	case err == nil:
		t.Accepted, t.Version, t.Nack, t.Updated, t.repeated = t.Accepted+1, r.update.Version, "", time.Now(), 0
	case t.Nack == err.Error():
		t.Rejected++
		t.repeated++
		wait = min(c.config.Backoff<<min(t.repeated, 6), 2*time.Second)
	default:
		t.Rejected, t.Nack, t.repeated = t.Rejected+1, err.Error(), 0
		c.config.Log.Warn("configuration refused", "type", r.typeURL, "error", err)
	}
	c.status.Types[r.typeURL] = t
	return m, wait
}

// postponed are answers that wait.
type postponed struct {
	timer    *time.Timer
	messages []message
}

func newPostponed() *postponed {
	p := &postponed{timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

func (p *postponed) add(m message, wait time.Duration) {
	p.messages = append(p.messages, m)
	p.timer.Reset(wait)
}

func (p *postponed) take() []message {
	all := p.messages
	p.messages = nil
	return all
}

func (c *Client) connected(server string) {
	c.mu.Lock()
	c.status.Connected, c.status.Server, c.status.Error = true, server, nil
	c.mu.Unlock()
	c.config.Log.Info("control plane connected", "address", c.config.name(), "server", server)
}

func (c *Client) disconnected(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Connected, c.status.Error = false, err
}
