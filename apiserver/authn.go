package apiserver

import (
	"crypto/subtle"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// admin is who the kubeconfig and in-process clients act as.
func admin() authenticationv1.UserInfo {
	return authenticationv1.UserInfo{Username: "system:admin", Groups: []string{"system:masters", "system:authenticated"}}
}

// authenticate says who sends a request: the administrator by token, or a
// service account by its token. In-process requests need none.
func (s *Server) authenticate(h *http.Request) (authenticationv1.UserInfo, error) {
	token, bearer := strings.CutPrefix(h.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		if in, _ := h.Context().Value(trusted{}).(bool); in {
			return admin(), nil
		}
		return authenticationv1.UserInfo{}, apierrors.NewUnauthorized("Unauthorized")
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.keys.token)) == 1 {
		return admin(), nil
	}
	user, _, err := s.verifyToken(token, []string{defaultAudience})
	if err != nil {
		return user, apierrors.NewUnauthorized("Unauthorized")
	}
	return user, nil
}
