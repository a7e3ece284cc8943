package bookinfo

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/samples/app"
)

//go:embed productpage.html
var pageSource string

//go:embed index.html
var indexSource string

var (
	pageTemplate  = template.Must(template.New("productpage").Funcs(template.FuncMap{"stars": stars}).Parse(pageSource))
	indexTemplate = template.Must(template.New("index").Parse(indexSource))
)

func stars(n int) string { return strings.Repeat("★", n) + strings.Repeat("☆", max(0, 5-n)) }

type product struct {
	ID          int    `json:"id"`
	Title       string `json:"title"`
	Description string `json:"descriptionHtml"`
}

var book = product{ID: 0, Title: "The Comedy of Errors",
	Description: "Two sets of identical twins, parted by a shipwreck, meet by chance in one town on one day, where nobody knows which of them is which."}

// shop is the product page's own state: the clients with which it calls.
type shop struct {
	app.Settings
	client *http.Client
}

// Productpage serves the web page, its sign-in, and a small JSON API.
func Productpage(s app.Settings) http.Handler {
	p := &shop{Settings: s, client: &http.Client{Timeout: 3 * time.Second, Transport: s.Calls}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "Product page is healthy") })
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /index.html", p.index)
	mux.HandleFunc("GET /productpage", p.page)
	mux.HandleFunc("POST /login", p.login)
	mux.HandleFunc("GET /logout", p.logout)
	mux.HandleFunc("GET /api/v1/products", func(w http.ResponseWriter, _ *http.Request) {
		app.JSON(w, http.StatusOK, []product{book})
	})
	mux.HandleFunc("GET /api/v1/products/{id}", relay[details](p, "details", "/details/%d"))
	mux.HandleFunc("GET /api/v1/products/{id}/reviews", relay[reviews](p, "reviews", "/reviews/%d"))
	mux.HandleFunc("GET /api/v1/products/{id}/ratings", relay[ratings](p, "ratings", "/ratings/%d"))
	return p.withUser(mux)
}

const sessionCookie = "session"

// withUser puts the signed-in user into the header end-user, which the
// services hand on and rules can match.
func (p *shop) withUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("End-User")
		if c, err := r.Cookie(sessionCookie); err == nil && c.Value != "" {
			r.Header.Set("End-User", c.Value)
		}
		next.ServeHTTP(w, r)
	})
}

// login takes any name and any password: it is a sample.
func (p *shop) login(w http.ResponseWriter, r *http.Request) {
	name := strings.Map(func(c rune) rune {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`",;\`, c) {
			return c
		}
		return -1
	}, r.PostFormValue("username"))
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/productpage?u="+template.URLQueryEscaper(name), http.StatusFound)
}

func (p *shop) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1})
	http.Redirect(w, r, "/productpage", http.StatusFound)
}

func (p *shop) index(w http.ResponseWriter, _ *http.Request) {
	render(w, indexTemplate, []struct{ Name, Path, Doc string }{
		{"productpage", "/productpage", "the page: calls details and reviews"},
		{"details", "/api/v1/products/0", "author, publisher and ISBN"},
		{"reviews", "/api/v1/products/0/reviews", "three versions: no stars, black stars, red stars"},
		{"ratings", "/api/v1/products/0/ratings", "how many stars each reviewer gave"},
	})
}

// page shows the book; a service that does not answer costs its own part only.
func (p *shop) page(w http.ResponseWriter, r *http.Request) {
	type part[T any] struct {
		Value T
		Error bool
	}
	var view struct {
		Book    product
		User    string
		Details part[details]
		Reviews part[reviews]
	}
	view.Book, view.User = book, r.Header.Get("End-User")
	done := make(chan struct{})
	go func() {
		defer close(done)
		view.Details.Error = fetch(r, p.client, "http://"+service(p.Settings, "details")+"/details/0", &view.Details.Value) != nil
	}()
	// Two tries: the page's own retry, which adds to those of the mesh.
	for range 2 {
		err := fetch(r, p.client, "http://"+service(p.Settings, "reviews")+"/reviews/0", &view.Reviews.Value)
		if view.Reviews.Error = err != nil; err == nil {
			break
		}
	}
	<-done
	render(w, pageTemplate, view)
}

// relay answers with another service's JSON.
func relay[T any](p *shop, name, path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, ok := productID(w, r)
		if !ok {
			return
		}
		var v T
		if err := fetch(r, p.client, "http://"+service(p.Settings, name)+fmt.Sprintf(path, id), &v); err != nil {
			app.JSON(w, http.StatusServiceUnavailable, map[string]string{"error": "Sorry, product " + name + " are currently unavailable for this book."})
			return
		}
		app.JSON(w, http.StatusOK, v)
	}
}

func render(w http.ResponseWriter, t *template.Template, v any) {
	var page bytes.Buffer
	if err := t.Execute(&page, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w)
}
