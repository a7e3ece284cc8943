package apiserver

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/version"
)

// Handler serves the API. It expects a bearer token that [Server.Kubeconfig] or a
// TokenRequest has given out; only health and version answer without.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, h *http.Request) {
		defer s.recover(w, h)
		switch {
		case isHealth(h.URL.Path):
			fmt.Fprint(w, "ok")
			return
		case h.URL.Path == "/version" || h.URL.Path == "/version/":
			writeJSON(w, http.StatusOK, versionInfo())
			return
		}
		user, err := s.authenticate(h)
		if err == nil {
			err = s.serve(w, h, user)
		}
		if err != nil {
			s.writeError(w, h, err)
		}
	})
}

// recover turns a panic into an answer; the server goes on.
func (s *Server) recover(w http.ResponseWriter, h *http.Request) {
	reason := recover()
	if reason == nil {
		return
	}
	if reason == http.ErrAbortHandler {
		panic(reason)
	}
	s.log.Error("panic while serving", "method", h.Method, "path", h.URL.Path, "panic", reason, "stack", string(debug.Stack()))
	s.writeError(w, h, apierrors.NewInternalError(fmt.Errorf("this request caused the api to panic: %v", reason)))
}

func isHealth(path string) bool {
	for _, p := range []string{"/healthz", "/readyz", "/livez"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}

// versionInfo names the Kubernetes version whose API this is.
func versionInfo() version.Info {
	return version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.0+lateen", Platform: "lateen", GoVersion: "go"}
}

// serve answers an authenticated request.
func (s *Server) serve(w http.ResponseWriter, h *http.Request, user authenticationv1.UserInfo) error {
	path := strings.TrimSuffix(h.URL.Path, "/")
	switch {
	case path == "" || path == "/api" || path == "/apis" || isGroupPath(path):
		return s.serveDiscovery(w, h, path)
	case strings.HasPrefix(path, "/openapi/"):
		return s.serveOpenAPI(w, h, path)
	case path == "/openid/v1/jwks" || path == "/.well-known/openid-configuration":
		return s.serveIssuer(w, path)
	case strings.HasPrefix(path, "/history/"):
		return s.serveHistory(w, h, strings.TrimPrefix(path, "/history"))
	}
	p, ok := parsePath(path)
	if !ok {
		return unknownPath()
	}
	r, err := s.newRequest(h, user, p)
	if err != nil {
		return err
	}
	if err := s.route(w, r); err != nil {
		r.sendWarnings(w) // they may say why
		return err
	}
	return nil
}

func unknownPath() error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "", resourcePath{}.gvr.GroupResource(), "", "", 0, false)
}

// isGroupPath reports whether path is /api/VERSION, /apis/GROUP or /apis/GROUP/VERSION.
func isGroupPath(path string) bool {
	n := strings.Count(path, "/")
	return strings.HasPrefix(path, "/api/") && n == 2 || strings.HasPrefix(path, "/apis/") && (n == 2 || n == 3)
}

// route leads a resource request to its verb.
func (s *Server) route(w http.ResponseWriter, r *request) error {
	if r.kind.Virtual {
		return s.review(w, r)
	}
	switch {
	case r.name == "":
		return s.routeCollection(w, r)
	case r.subresource == "" || r.subresource == "status" && r.kind.Status:
		return s.routeObject(w, r)
	case r.subresource == "scale" && r.kind.Scale != nil:
		return s.scale(w, r)
	}
	for _, sub := range r.kind.Connect {
		if sub.Name == r.subresource {
			return s.connect(w, r, sub)
		}
	}
	return unknownPath()
}

func (s *Server) routeCollection(w http.ResponseWriter, r *request) error {
	switch r.http.Method {
	case http.MethodGet:
		if isTrue(r.query.Get("watch")) {
			return s.watch(w, r)
		}
		return s.list(w, r)
	case http.MethodPost:
		return s.create(w, r)
	case http.MethodDelete:
		return s.deleteCollection(w, r)
	}
	return r.methodNotAllowed()
}

func (s *Server) routeObject(w http.ResponseWriter, r *request) error {
	switch r.http.Method {
	case http.MethodGet:
		if isTrue(r.query.Get("watch")) {
			return s.watch(w, r)
		}
		return s.get(w, r)
	case http.MethodPut:
		return s.update(w, r)
	case http.MethodPatch:
		return s.patch(w, r)
	case http.MethodDelete:
		if r.subresource == "" {
			return s.delete(w, r)
		}
	}
	return r.methodNotAllowed()
}

func (r *request) methodNotAllowed() error {
	action := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodDelete: "delete"}[r.http.Method]
	if action == "" {
		action = strings.ToLower(r.http.Method)
	}
	return apierrors.NewMethodNotSupported(r.kind.GroupResource(), action)
}

// allows refuses methods that a subresource does not have.
func (r *request) allows(methods ...string) error {
	if slices.Contains(methods, r.http.Method) {
		return nil
	}
	return r.methodNotAllowed()
}
