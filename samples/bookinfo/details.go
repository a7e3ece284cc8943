// Package bookinfo is Bookinfo, a book shop in four services: a product page
// that asks for the book's details and its reviews, and reviews that ask for
// ratings, in versions that differ in what they show.
package bookinfo

import (
	"net/http"
	"strconv"

	"github.com/lateenmesh/lateen/samples/app"
)

type details struct {
	ID        int    `json:"id"`
	Author    string `json:"author"`
	Year      int    `json:"year"`
	Type      string `json:"type"`
	Pages     int    `json:"pages"`
	Publisher string `json:"publisher"`
	Language  string `json:"language"`
	ISBN10    string `json:"ISBN-10"`
	ISBN13    string `json:"ISBN-13"`
}

// Details serves what is known of a book.
func Details(s app.Settings) http.Handler {
	book := details{Author: "William Shakespeare", Year: 1595, Type: "paperback", Pages: 200, Publisher: "PublisherA",
		Language: "English", ISBN10: "1234567890", ISBN13: "123-1234567890"}
	if s.Getenv("SERVICE_VERSION") == "v2" {
		book.Publisher, book.ISBN10, book.ISBN13 = "PublisherB", "0486424618", "978-0486424613"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy("Details"))
	mux.HandleFunc("GET /details/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := productID(w, r)
		if !ok {
			return
		}
		answer := book
		answer.ID = id
		app.JSON(w, http.StatusOK, answer)
	})
	return mux
}

func healthy(service string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		app.JSON(w, http.StatusOK, map[string]string{"status": service + " is healthy"})
	}
}

// productID reads the path's {id}, or answers 400.
func productID(w http.ResponseWriter, r *http.Request) (int, bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		app.JSON(w, http.StatusBadRequest, map[string]string{"error": "please provide numeric product ID"})
		return 0, false
	}
	return id, true
}
