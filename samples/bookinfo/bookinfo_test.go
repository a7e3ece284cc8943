package bookinfo

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/samples/app"
)

// mesh carries calls to services by their names, as sidecars do.
type mesh map[string]http.Handler

// RoundTrip implements [http.RoundTripper].
func (m mesh) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	m[r.URL.Host].ServeHTTP(answer, r)
	return answer.Result(), nil
}

// shopWith starts the four services, reviews in the given version, and returns
// the product page's URL.
func shopWith(t *testing.T, reviewsVersion string, ratings http.Handler) *url.URL {
	t.Helper()
	services := mesh{}
	settings := app.Settings{Calls: services, Getenv: func(name string) string {
		return map[string]string{"SERVICE_VERSION": reviewsVersion, "HOSTNAME": "reviews-" + reviewsVersion + "-abc"}[name]
	}}
	services["details:9080"], services["reviews:9080"], services["ratings:9080"] = Details(settings), Reviews(settings), ratings
	page := httptest.NewServer(Productpage(settings))
	t.Cleanup(page.Close)
	u, err := url.Parse(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func get(t *testing.T, client *http.Client, u string) string {
	t.Helper()
	resp, err := client.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestVersionsOfReviewsShowTheirStars(t *testing.T) {
	for version, want := range map[string]string{"v1": "", "v2": `data-color="black"`, "v3": `data-color="red"`} {
		u := shopWith(t, version, Ratings(app.Settings{}))
		page := get(t, http.DefaultClient, u.String()+"/productpage")
		if !strings.Contains(page, "<title>Simple Bookstore App</title>") || !strings.Contains(page, "reviews-"+version) {
			t.Errorf("%s: page lacks its title or the reviews' instance:\n%s", version, page)
		}
		if got := strings.Contains(page, "data-color"); got != (want != "") || !strings.Contains(page, want) {
			t.Errorf("%s: stars shown: %v; want %q", version, got, want)
		}
	}
}

func TestSignedInUserReachesTheServices(t *testing.T) {
	seen := make(chan string, 8)
	u := shopWith(t, "v2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("End-User")
		Ratings(app.Settings{}).ServeHTTP(w, r)
	}))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	resp, err := browser.PostForm(u.String()+"/login", url.Values{"username": {"jason"}, "passwd": {"jason"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := <-seen; got != "jason" {
		t.Errorf("ratings saw end-user %q; want jason", got)
	}
	get(t, browser, u.String()+"/logout")
	if got := <-seen; got != "" {
		t.Errorf("after signing out ratings saw end-user %q; want none", got)
	}
}

func TestUnavailableRatingsCostTheStarsOnly(t *testing.T) {
	u := shopWith(t, "v3", http.NotFoundHandler())
	page := get(t, http.DefaultClient, u.String()+"/productpage")
	if !strings.Contains(page, "Ratings service is currently unavailable") || strings.Contains(page, "Error fetching") {
		t.Errorf("want the page without stars, got:\n%s", page)
	}
}
