package admin

import "net/http"

// initDump tells what is not in force yet.
func (s *Server) initDump(w http.ResponseWriter, _ *http.Request) {
	type target struct {
		Name    string   `json:"name"`
		Targets []string `json:"target_names"`
	}
	all := []target{}
	for _, each := range s.config.State.Waiting() {
		all = append(all, target{each.Name, append([]string{}, each.For...)})
	}
	writeJSON(w, map[string]any{"unready_targets_dumps": all})
}
