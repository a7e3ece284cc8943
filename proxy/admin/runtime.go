package admin

import (
	"fmt"
	"net/http"
)

// runtime lists each setting: what each layer says and what is in force.
func (s *Server) runtime(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		Layers []string `json:"layer_values"`
		Final  string   `json:"final_value"`
	}
	layers, _ := s.config.Runtime.Layers()
	names, entries := []string{}, map[string]*entry{}
	for _, l := range layers {
		names = append(names, l.Name)
		for key := range l.Values {
			entries[key] = &entry{}
		}
	}
	for key, e := range entries {
		for _, l := range layers {
			text, set := l.Values[key]
			if e.Layers = append(e.Layers, text); set {
				e.Final = text
			}
		}
	}
	writeJSON(w, map[string]any{"layers": names, "entries": entries})
}

func (s *Server) runtimeModify(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if len(r.Form) == 0 {
		http.Error(w, "usage: /runtime_modify?key1=value1&key2=value2; an empty value takes a key out again", http.StatusBadRequest)
		return
	}
	values := map[string]string{}
	for key, all := range r.Form {
		values[key] = all[0]
	}
	if !s.config.Runtime.Modify(values) {
		http.Error(w, "there is no admin layer: add {name: admin, admin_layer: {}} to layered_runtime.layers", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "OK")
}

// runtimeSamples are the statistics of the runtime.
func (s *Server) runtimeSamples(plain func(name string, gauge bool, v int64)) {
	layers, loads := s.config.Runtime.Layers()
	keys, overrides := map[string]bool{}, 0
	for _, l := range layers {
		for key := range l.Values {
			keys[key] = true
		}
		if l.Admin && len(l.Values) > 0 {
			overrides = 1
		}
	}
	plain("runtime.num_layers", true, int64(len(layers)))
	plain("runtime.num_keys", true, int64(len(keys)))
	plain("runtime.admin_overrides_active", true, int64(overrides))
	plain("runtime.load_success", false, int64(loads))
}
