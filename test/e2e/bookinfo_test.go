//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// color says which version of reviews a page shows: "none", "black" or "red".
func color(page string) string {
	switch {
	case strings.Contains(page, `data-color="black"`):
		return "black"
	case strings.Contains(page, `data-color="red"`):
		return "red"
	case strings.Contains(page, "Reviews served by"):
		return "none"
	}
	return "error"
}

// colors counts the versions that n pages show.
func colors(t *testing.T, n int, header ...string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for range n {
		status, page, err := fetch("/productpage", header...)
		if err != nil || status != http.StatusOK {
			t.Fatalf("product page: %d, %v\n%s", status, err, page)
		}
		seen[color(page)]++
	}
	return seen
}

func only(want string, n int, header ...string) func() error {
	return func() error {
		for range n {
			if _, page, err := fetch("/productpage", header...); err != nil || color(page) != want {
				return fmt.Errorf("page shows %s, %v; want %s", color(page), err, want)
			}
		}
		return nil
	}
}

func TestBookinfoAnswersThroughTheGateway(t *testing.T) {
	status, page, err := fetch("/productpage")
	if err != nil || status != 200 {
		t.Fatalf("product page: %d, %v", status, err)
	}
	wants(t, "the page", page, "<title>Simple Bookstore App</title>", "Book Details", "paperback", "Reviews served by")
	if status, _, _ := fetch("/nothing-here"); status != 404 {
		t.Errorf("a path without a route: %d; want 404", status)
	}
	seen := colors(t, 30)
	for _, c := range []string{"none", "black", "red"} {
		if seen[c] < 3 {
			t.Errorf("without rules 30 pages showed %v; want each version", seen)
		}
	}
}

func TestPodsAreInjected(t *testing.T) {
	pods := must(t, "get", "pods")
	for _, app := range []string{"details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3", "productpage-v1"} {
		if !strings.Contains(pods, app) {
			t.Errorf("no pod of %s:\n%s", app, pods)
		}
	}
	if got := strings.Count(pods, "2/2"); got != 6 {
		t.Errorf("%d pods are 2/2; want 6:\n%s", got, pods)
	}
	system := must(t, "get", "pods", "-n", "istio-system")
	if strings.Count(system, "1/1") < 2 || strings.Count(system, "Running") < 2 {
		t.Errorf("istiod and the gateway are not 1/1 Running:\n%s", system)
	}
	title := must(t, "exec", "deploy/ratings-v1", "-c", "ratings", "--", "curl", "-s", "productpage:9080/productpage")
	wants(t, "the page from within the mesh", title, "<title>Simple Bookstore App</title>")
}

// Istio's own rules, unmodified.
func TestIstiosBookinfoRules(t *testing.T) {
	rules := samplesOf(t, "bookinfo/networking")
	must(t, "apply", "-f", rules+"/destination-rule-all.yaml")
	t.Cleanup(func() {
		must(t, "delete", "virtualservice", "reviews", "ratings", "details", "productpage", "--ignore-not-found")
		must(t, "delete", "destinationrule", "--all")
	})

	must(t, "apply", "-f", rules+"/virtual-service-all-v1.yaml")
	eventually(t, "everything goes to v1", only("none", 30))

	must(t, "apply", "-f", rules+"/virtual-service-reviews-50-v3.yaml")
	eventually(t, "v3 is seen", func() error {
		if _, page, err := fetch("/productpage"); err != nil || color(page) != "red" {
			return errNot
		}
		return nil
	})
	seen := colors(t, 2000)
	if seen["black"] != 0 || seen["none"] < 900 || seen["none"] > 1100 || seen["none"]+seen["red"] != 2000 {
		t.Errorf("2000 pages at 50/50 showed %v; want v1 and v3 within 5 points of half", seen)
	}

	must(t, "apply", "-f", rules+"/virtual-service-reviews-test-v2.yaml")
	jason := signIn(t, "jason")
	eventually(t, "jason sees v2", only("black", 10, "Cookie", jason))
	if err := only("none", 10)(); err != nil {
		t.Errorf("others: %v", err)
	}
	if err := only("none", 5, "Cookie", signIn(t, "anna"))(); err != nil {
		t.Errorf("anna: %v", err)
	}
}

// signIn returns the session's cookie.
func signIn(t *testing.T, user string) string {
	t.Helper()
	resp, err := client.PostForm(shared.gateway+"/login", map[string][]string{"username": {user}, "passwd": {user}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if len(resp.Cookies()) == 0 {
		t.Fatalf("signing in as %s: %s and no cookie", user, resp.Status)
	}
	return resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
}

// load calls the product page at a constant rate until stop is called, and
// reports what failed.
func load(t *testing.T, rate int) (stop func() (sent int64, failures []string)) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	var sent atomic.Int64
	var mu sync.Mutex
	var failures []string
	go func() {
		defer close(done)
		var calls sync.WaitGroup
		defer calls.Wait()
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			sent.Add(1)
			calls.Go(func() {
				status, page, err := fetch("/productpage")
				if err != nil || status != 200 || color(page) == "error" {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("%s: %d %s %v", time.Now().Format("15:04:05.000"), status, color(page), err))
					mu.Unlock()
				}
			})
		}
	}()
	var once sync.Once
	return func() (int64, []string) {
		once.Do(func() { close(quit) })
		<-done
		return sent.Load(), failures
	}
}

func TestRulesChangeUnderLoadWithoutALostRequest(t *testing.T) {
	apply(t, "default", rule("destination-rule-reviews"))
	t.Cleanup(func() {
		must(t, "delete", "virtualservice", "reviews", "--ignore-not-found")
		must(t, "delete", "destinationrule", "reviews")
	})
	stop := load(t, 200)
	defer stop()
	for i := range 50 {
		apply(t, "default", rule([]string{"reviews-v1", "reviews-half-v3", "reviews-jason-v2"}[i%3]))
	}
	sent, failures := stop()
	t.Logf("%d requests while rules changed 50 times", sent)
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %s", len(failures), sent, strings.Join(failures[:min(10, len(failures))], "\n"))
	}
}
