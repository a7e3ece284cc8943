package kubelet

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// eager is how often a probe is tried until it first succeeds: pods should not
// wait for a period to be known as ready.
const eager = 100 * time.Millisecond

// probe runs a container's probes until ctx ends: startup first, then readiness
// and liveness side by side.
func (c *container) probe(ctx context.Context, r *run) {
	if p := c.spec.StartupProbe; p != nil && !c.awaitStartup(ctx, r, p) {
		return
	}
	c.set(func() { c.started = true; c.ready = c.spec.ReadinessProbe == nil })
	done := make(chan struct{})
	go func() {
		defer close(done)
		if p := c.spec.LivenessProbe; p != nil {
			c.watchLiveness(ctx, r, p)
		}
	}()
	if p := c.spec.ReadinessProbe; p != nil {
		c.watchReadiness(ctx, p)
	}
	<-done
}

func (c *container) set(change func()) {
	c.mu.Lock()
	change()
	c.mu.Unlock()
	c.w.touch()
}

func (c *container) awaitStartup(ctx context.Context, r *run, p *corev1.Probe) bool {
	// Tries come sooner than the period says; the time allowed stays the same.
	deadline := time.Now().Add(time.Duration(p.InitialDelaySeconds+p.PeriodSeconds*p.FailureThreshold) * time.Second)
	for {
		err := c.check(ctx, p)
		if err == nil {
			return true
		}
		if time.Now().After(deadline) {
			c.unhealthy("Startup", err)
			c.event(corev1.EventTypeNormal, "Killing", fmt.Sprintf("Container %s failed startup probe, will be restarted", c.spec.Name))
			c.end(r, time.Now().Add(30*time.Second))
			return false
		}
		if !sleep(ctx, eager) {
			return false
		}
	}
}

func (c *container) watchReadiness(ctx context.Context, p *corev1.Probe) {
	ready, good, bad := false, int32(0), int32(0)
	period := time.Duration(max(1, p.PeriodSeconds)) * time.Second
	begin := time.Now()
	tell := begin.Add(time.Duration(p.InitialDelaySeconds)*time.Second + period) // what is only starting needs no event
	for {
		err := c.check(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			good, bad = good+1, 0
			if !ready && good >= max(1, p.SuccessThreshold) {
				ready = true
				c.set(func() { c.ready = true })
			}
		} else {
			good, bad = 0, bad+1
			if now := time.Now(); ready || now.After(tell) {
				tell = now.Add(period)
				c.unhealthy("Readiness", err)
			}
			if ready && bad >= max(1, p.FailureThreshold) {
				ready = false
				c.set(func() { c.ready = false })
			}
		}
		wait := period
		if !ready {
			wait = eager
			if time.Since(begin) > time.Minute {
				wait = time.Second
			}
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

func (c *container) watchLiveness(ctx context.Context, r *run, p *corev1.Probe) {
	if !sleep(ctx, time.Duration(p.InitialDelaySeconds)*time.Second) {
		return
	}
	for bad := int32(0); ; {
		if err := c.check(ctx, p); err == nil {
			bad = 0
		} else if ctx.Err() == nil {
			bad++
			c.unhealthy("Liveness", err)
			if bad >= max(1, p.FailureThreshold) {
				c.event(corev1.EventTypeNormal, "Killing", fmt.Sprintf("Container %s failed liveness probe, will be restarted", c.spec.Name))
				c.end(r, time.Now().Add(30*time.Second))
				return
			}
		}
		if !sleep(ctx, time.Duration(max(1, p.PeriodSeconds))*time.Second) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (c *container) unhealthy(kind string, err error) {
	c.event(corev1.EventTypeWarning, "Unhealthy", kind+" probe failed: "+err.Error())
}

// check makes one try.
func (c *container) check(ctx context.Context, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(1, p.TimeoutSeconds))*time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return c.httpGet(ctx, p.HTTPGet)
	case p.TCPSocket != nil:
		address, err := c.probeAddress(p.TCPSocket.Host, p.TCPSocket.Port)
		if err != nil {
			return err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	case p.Exec != nil:
		return c.execute(ctx, p.Exec.Command)
	}
	return fmt.Errorf("a probe of this kind is not supported on one machine: use httpGet, tcpSocket or exec")
}

// hook runs a lifecycle handler.
func (c *container) hook(ctx context.Context, h *corev1.LifecycleHandler) error {
	switch {
	case h.HTTPGet != nil:
		return c.httpGet(ctx, h.HTTPGet)
	case h.Exec != nil:
		return c.execute(ctx, h.Exec.Command)
	case h.Sleep != nil:
		sleep(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
	}
	return nil
}

var probeClient = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives: true,
		Proxy:             nil,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // as Kubernetes' probes do
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (c *container) httpGet(ctx context.Context, g *corev1.HTTPGetAction) error {
	address, err := c.probeAddress(g.Host, g.Port)
	if err != nil {
		return err
	}
	scheme := strings.ToLower(string(g.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/"+strings.TrimPrefix(g.Path, "/"), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/lateen")
	for _, h := range g.HTTPHeaders {
		req.Header.Add(h.Name, h.Value)
		if strings.EqualFold(h.Name, "host") {
			req.Host = h.Value
		}
	}
	resp, err := probeClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", resp.StatusCode)
	}
	return nil
}

// probeAddress is where a probe of the pod's port goes.
func (c *container) probeAddress(host string, port intstr.IntOrString) (string, error) {
	number := port.IntVal
	if port.Type == intstr.String {
		for _, p := range c.spec.Ports {
			if p.Name == port.StrVal {
				number = p.ContainerPort
			}
		}
		if number == 0 {
			n, err := strconv.Atoi(port.StrVal)
			if err != nil {
				return "", fmt.Errorf("container %s has no port named %q", c.spec.Name, port.StrVal)
			}
			number = int32(n)
		}
	}
	if host != "" && host != "localhost" && host != "127.0.0.1" {
		return net.JoinHostPort(host, strconv.Itoa(int(number))), nil
	}
	return c.w.shift(netip.AddrPortFrom(c.w.ip, uint16(number))).String(), nil
}
