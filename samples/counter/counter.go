// Package counter is a page that counts its visitors in Redis: one HTTP hop and
// one TCP hop through the mesh.
package counter

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"golang.org/x/net/proxy"

	"github.com/lateenmesh/lateen/samples/app"
)

// Run serves the page. REDIS_HOST and REDIS_PORT say where the count is kept.
func Run(ctx context.Context, s app.Settings) error {
	dial, err := dialer(s)
	if err != nil {
		return err
	}
	db := redis.NewClient(&redis.Options{
		Addr:        net.JoinHostPort(s.Get("REDIS_HOST", "docker2istio-redis"), s.Get("REDIS_PORT", "6379")),
		DialTimeout: 2 * time.Second,
		Dialer:      dial,
	})
	defer db.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		visits, err := db.Incr(r.Context(), "visits").Result()
		if err != nil {
			http.Error(w, "count the visit: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "Hello World by %s from %s ! 该页面已被访问 %d 次。\n", peer, s.Get("POD_IP", s.Instance()), visits)
	})
	return app.HTTP("8080", func(app.Settings) http.Handler { return mux })(ctx, s)
}

// dialer goes through the pod's sidecar where the environment names one: plain
// TCP has no other way to say where it wants to go in explicit mode.
func dialer(s app.Settings) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	all := s.Getenv("all_proxy")
	if all == "" {
		return (&net.Dialer{}).DialContext, nil
	}
	u, err := url.Parse(all)
	if err != nil {
		return nil, fmt.Errorf("read all_proxy: %w", err)
	}
	via, err := proxy.FromURL(u, proxy.Direct)
	if err != nil {
		return nil, fmt.Errorf("use all_proxy %s: %w", all, err)
	}
	return via.(proxy.ContextDialer).DialContext, nil
}

// Redis serves an in-memory Redis.
func Redis(ctx context.Context, s app.Settings) error {
	server := miniredis.NewMiniRedis()
	address := s.Address("6379", true)
	if err := server.StartAddr(address); err != nil {
		return fmt.Errorf("serve Redis on %s: %w", address, err)
	}
	s.Log.Info("listening", "address", address)
	<-ctx.Done()
	server.Close()
	return nil
}
