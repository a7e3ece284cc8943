package bookinfo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/lateenmesh/lateen/samples/app"
)

type reviews struct {
	ID      string   `json:"id"`
	Podname string   `json:"podname"`
	Cluster string   `json:"clustername"`
	Reviews []review `json:"reviews"`
}

type review struct {
	Reviewer string  `json:"reviewer"`
	Text     string  `json:"text"`
	Rating   *rating `json:"rating,omitempty"`
}

type rating struct {
	Stars int    `json:"stars,omitempty"`
	Color string `json:"color,omitempty"`
	Error string `json:"error,omitempty"`
}

// look is how a version of the reviews shows ratings: v1 not at all, v2 as
// black stars, v3 as red ones. v2 waits longer for the ratings than the product
// page waits for the reviews, which a fault injection brings to light.
var looks = map[string]struct {
	color   string
	timeout time.Duration
}{
	"v2": {"black", 10 * time.Second},
	"v3": {"red", 2500 * time.Millisecond},
}

// Reviews serves what readers wrote about a book, with stars in v2 and v3.
func Reviews(s app.Settings) http.Handler {
	look, starred := looks[s.Getenv("SERVICE_VERSION")]
	client := &http.Client{Timeout: look.timeout, Transport: s.Calls}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy("Reviews"))
	mux.HandleFunc("GET /reviews/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := productID(w, r)
		if !ok {
			return
		}
		page := reviews{ID: fmt.Sprint(id), Podname: s.Instance(), Cluster: s.Get("CLUSTER_NAME", "null"), Reviews: []review{
			{Reviewer: "Reviewer1", Text: "Two pairs of twins, one town, and no patience left by the third act. I laughed until the library asked me to leave."},
			{Reviewer: "Reviewer2", Text: "Short, fast and silly in the best way, though the plot needs everyone to be remarkably unobservant."},
		}}
		if starred {
			stars, err := fetchRatings(r, client, s, id)
			for i := range page.Reviews {
				if err != nil {
					page.Reviews[i].Rating = &rating{Error: "Ratings service is currently unavailable"}
				} else {
					page.Reviews[i].Rating = &rating{Stars: stars.Ratings[page.Reviews[i].Reviewer], Color: look.color}
				}
			}
		}
		app.JSON(w, http.StatusOK, page)
	})
	return mux
}

func fetchRatings(r *http.Request, client *http.Client, s app.Settings, id int) (ratings, error) {
	var stars ratings
	err := fetch(r, client, fmt.Sprintf("http://%s/ratings/%d", service(s, "ratings"), id), &stars)
	return stars, err
}

// service is the address of another of the four services; SERVICES_DOMAIN and
// NAME_HOSTNAME place it elsewhere.
func service(s app.Settings, name string) string {
	host := s.Get(map[string]string{"ratings": "RATINGS_HOSTNAME", "reviews": "REVIEWS_HOSTNAME", "details": "DETAILS_HOSTNAME"}[name], name)
	if domain := s.Getenv("SERVICES_DOMAIN"); domain != "" {
		host += "." + domain
	}
	return host + ":9080"
}

// fetch calls url on behalf of r and reads its JSON answer into v.
func fetch(r *http.Request, client *http.Client, url string, v any) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("call %s: %w", url, err)
	}
	app.Forward(r.Header, req.Header)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("call %s: answered %s", url, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("call %s: %w", url, err)
	}
	return nil
}
