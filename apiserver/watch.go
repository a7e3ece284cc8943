package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/apiserver/codec"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// watch streams the changes of a selection until the client leaves, the asked
// time is over, or the server stops.
type watch struct {
	server    *Server
	request   *request
	selection selection
	format    codec.Format
	out       http.ResponseWriter
	bookmarks bool
}

func (s *Server) watch(w http.ResponseWriter, r *request) error {
	sel, err := newSelection(r)
	if err != nil {
		return err
	}
	f, err := r.format()
	if err != nil {
		return err
	}
	if f.Media == codec.YAML {
		f.Media = codec.JSON // YAML does not stream
	}
	timeout, err := queryInt(r, "timeoutSeconds")
	if err != nil {
		return err
	}
	if timeout <= 0 {
		timeout = 1800 + rand.Int64N(1800) // as Kubernetes: clients must be able to resume, so make them
	}
	wt := &watch{server: s, request: r, selection: sel, format: f, out: w,
		bookmarks: isTrue(r.query.Get("allowWatchBookmarks"))}
	initial, watcher, rev, err := wt.begin()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.http.Context(), time.Duration(timeout)*time.Second)
	defer cancel()
	stop := context.AfterFunc(s.stop, cancel)
	defer stop()

	r.sendWarnings(w)
	media := f.Media
	if media == codec.Protobuf {
		media += ";stream=watch"
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(http.StatusOK)
	wt.flush()
	if err := wt.sendInitial(initial, rev); err != nil {
		return nil // the client has gone
	}
	wt.follow(ctx, watcher)
	return nil
}

func isTrue(v string) bool { return v == "true" || v == "1" }

// begin settles where the stream starts: with the current objects, or after a revision.
func (wt *watch) begin() ([]*store.Object, *store.Watcher, uint64, error) {
	s, r := wt.server, wt.request
	gr := r.kind.StorageResource()
	from := r.query.Get("resourceVersion")
	wantsInitial := isTrue(r.query.Get("sendInitialEvents"))
	if wantsInitial && r.query.Get("resourceVersionMatch") != string(metav1.ResourceVersionMatchNotOlderThan) {
		return nil, nil, 0, apierrors.NewBadRequest("sendInitialEvents requires resourceVersionMatch=NotOlderThan")
	}
	if wantsInitial || (from == "" || from == "0") && !r.query.Has("sendInitialEvents") {
		objects, rev, watcher := s.store.ListAndWatch(gr, r.namespace)
		return objects, watcher, rev, nil
	}
	if from == "" || from == "0" {
		_, rev, watcher := s.store.ListAndWatch(gr, r.namespace)
		return nil, watcher, rev, nil
	}
	rev, err := strconv.ParseUint(from, 10, 64)
	if err != nil {
		return nil, nil, 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q: %v", from, err))
	}
	watcher, err := s.store.Watch(gr, rev)
	if errors.Is(err, store.ErrExpired) {
		return nil, nil, 0, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", rev, s.store.Revision()))
	}
	return nil, watcher, rev, err
}

func (wt *watch) sendInitial(objects []*store.Object, rev uint64) error {
	for _, o := range objects {
		if !wt.selection.matches(o) {
			continue
		}
		if err := wt.send(string(store.Added), o); err != nil {
			return err
		}
	}
	if isTrue(wt.request.query.Get("sendInitialEvents")) && wt.bookmarks {
		if err := wt.bookmark(rev, map[string]any{metav1.InitialEventsAnnotationKey: "true"}); err != nil {
			return err
		}
	}
	wt.flush()
	return nil
}

// follow sends events as they come. It returns when ctx ends or nothing more can be sent.
func (wt *watch) follow(ctx context.Context, watcher *store.Watcher) {
	idle := time.NewTicker(wt.server.cfg.BookmarkInterval)
	defer idle.Stop()
	for {
		batch, err := watcher.Poll()
		if err != nil {
			if errors.Is(err, store.ErrExpired) {
				wt.sendError(apierrors.NewResourceExpired("the watch was too slow and missed events").Status())
			}
			return
		}
		for _, ev := range batch.Events {
			if err := wt.sendEvent(ev); err != nil {
				wt.server.log.Debug("watch ended", "resource", wt.request.kind.Plural, "error", err)
				return
			}
		}
		if len(batch.Events) > 0 {
			wt.flush()
		}
		select {
		case <-ctx.Done():
			return
		case <-batch.Changed:
		case <-idle.C:
			if wt.bookmarks {
				if err := wt.bookmark(batch.Revision, nil); err != nil {
					return
				}
				wt.flush()
			}
		}
	}
}

// sendEvent sends what a change means for the selection: an object that enters
// it is added, one that leaves it is deleted.
func (wt *watch) sendEvent(ev store.Event) error {
	is := ev.Type != store.Deleted && wt.selection.matches(ev.Object)
	was := ev.Old != nil && wt.selection.matches(ev.Old)
	switch {
	case is && was:
		return wt.send(string(store.Modified), ev.Object)
	case is:
		return wt.send(string(store.Added), ev.Object)
	case was && ev.Type == store.Deleted:
		return wt.send(string(store.Deleted), ev.Object)
	case was:
		// What the client knew, under the revision of the change.
		last := ev.Old.Copy()
		last["metadata"].(map[string]any)["resourceVersion"] = strconv.FormatUint(ev.Object.Revision, 10)
		return wt.sendContent(string(store.Deleted), last, nil)
	}
	return nil
}

func (wt *watch) send(eventType string, o *store.Object) error {
	return wt.sendContent(eventType, o.Content(), o.JSON)
}

func (wt *watch) sendContent(eventType string, content map[string]any, raw []byte) error {
	body, err := wt.server.encodeObject(wt.request, wt.format, content, raw)
	if err != nil {
		return err
	}
	return wt.frame(eventType, body)
}

// bookmark tells the client that it has seen everything up to rev.
func (wt *watch) bookmark(rev uint64, annotations map[string]any) error {
	meta := map[string]any{"resourceVersion": strconv.FormatUint(rev, 10), "creationTimestamp": nil}
	if annotations != nil {
		meta["annotations"] = annotations
	}
	gvk := wt.request.kind.GVK(wt.request.version)
	obj := map[string]any{"apiVersion": gvk.GroupVersion().String(), "kind": gvk.Kind, "metadata": meta}
	if wt.format.As == "Table" {
		t := &metav1.Table{ListMeta: metav1.ListMeta{ResourceVersion: meta["resourceVersion"].(string)}}
		t.APIVersion, t.Kind = metav1.SchemeGroupVersion.String(), "Table"
		t.Rows = []metav1.TableRow{}
		body, err := codec.Encode(wt.format.Media, t)
		if err != nil {
			return err
		}
		return wt.frame("BOOKMARK", body)
	}
	body, err := wt.encodeBookmark(obj)
	if err != nil {
		return err
	}
	return wt.frame("BOOKMARK", body)
}

func (wt *watch) encodeBookmark(obj map[string]any) ([]byte, error) {
	switch {
	case wt.format.As != "":
		p, err := codec.Partial(obj)
		if err != nil {
			return nil, err
		}
		return codec.Encode(wt.format.Media, p)
	case wt.format.Media == codec.Protobuf:
		t, err := typedObject(wt.request.kind, wt.request.version, obj)
		if err != nil {
			return nil, err
		}
		return codec.Encode(codec.Protobuf, t)
	default:
		return json.Marshal(obj)
	}
}

func (wt *watch) sendError(status metav1.Status) {
	status.Kind, status.APIVersion = "Status", "v1"
	body, err := codec.Encode(wt.format.Media, &status)
	if err != nil {
		return
	}
	if wt.frame("ERROR", body) == nil {
		wt.flush()
	}
}

func (wt *watch) frame(eventType string, body []byte) error {
	b, err := codec.Frame(wt.format.Media, eventType, body)
	if err != nil {
		return err
	}
	_, err = wt.out.Write(b)
	return err
}

func (wt *watch) flush() {
	if f, ok := wt.out.(http.Flusher); ok {
		f.Flush()
	}
}
