package bookinfo

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/lateenmesh/lateen/samples/app"
)

type ratings struct {
	ID      int            `json:"id"`
	Ratings map[string]int `json:"ratings"`
}

// shelf keeps the ratings that were posted, by product.
type shelf struct {
	mu sync.Mutex
	// guarded by mu
	posted map[int]map[string]int
}

// Ratings serves how many stars each reviewer gave. A POST to a product
// replaces its ratings in this instance.
func Ratings(s app.Settings) http.Handler {
	kept := shelf{posted: map[int]map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy("Ratings"))
	mux.HandleFunc("GET /ratings/{id}", func(w http.ResponseWriter, r *http.Request) {
		if id, ok := productID(w, r); ok {
			app.JSON(w, http.StatusOK, ratings{ID: id, Ratings: kept.get(id)})
		}
	})
	mux.HandleFunc("POST /ratings/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := productID(w, r)
		if !ok {
			return
		}
		var stars map[string]int
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&stars); err != nil {
			app.JSON(w, http.StatusBadRequest, map[string]string{"error": "please provide valid ratings JSON"})
			return
		}
		kept.put(id, stars)
		app.JSON(w, http.StatusOK, ratings{ID: id, Ratings: stars})
	})
	return mux
}

func (k *shelf) get(id int) map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if stars, ok := k.posted[id]; ok {
		return stars
	}
	return map[string]int{"Reviewer1": 5, "Reviewer2": 4}
}

func (k *shelf) put(id int, stars map[string]int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.posted[id] = stars
}
