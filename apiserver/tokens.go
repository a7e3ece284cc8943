package apiserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/lateenmesh/lateen/apiserver/store"
)

const (
	// issuer is the iss claim of service account tokens.
	issuer = "https://kubernetes.default.svc.cluster.local"
	// defaultAudience is who tokens are for when nothing else is asked.
	defaultAudience = issuer
	// Lifetimes of tokens in seconds.
	defaultTokenSeconds, minTokenSeconds, maxTokenSeconds = 3600, 600, 365 * 24 * 3600
)

// claims are the contents of a service account token, in Kubernetes' form.
type claims struct {
	jwt.Claims
	Kubernetes kubernetesClaims `json:"kubernetes.io"`
}

type kubernetesClaims struct {
	Namespace      string   `json:"namespace"`
	ServiceAccount boundTo  `json:"serviceaccount"`
	Pod            *boundTo `json:"pod,omitempty"`
	Secret         *boundTo `json:"secret,omitempty"`
	Node           *boundTo `json:"node,omitempty"`
}

type boundTo struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// token answers a TokenRequest on serviceaccounts/NAME/token.
func (s *Server) token(w http.ResponseWriter, r *request) error {
	account, ok := s.store.Get(r.key())
	if !ok {
		return r.notFound()
	}
	req, err := decodeInto[authenticationv1.TokenRequest](r)
	if err != nil {
		return err
	}
	seconds := int64(defaultTokenSeconds)
	if n := req.Spec.ExpirationSeconds; n != nil {
		seconds = *n
	}
	if seconds < minTokenSeconds {
		return apierrors.NewBadRequest(fmt.Sprintf("spec.expirationSeconds: Invalid value: %d: may not specify a duration less than 10 minutes", seconds))
	}
	seconds = min(seconds, maxTokenSeconds)
	if len(req.Spec.Audiences) == 0 {
		req.Spec.Audiences = []string{defaultAudience}
	}
	c := claims{Kubernetes: kubernetesClaims{Namespace: r.namespace,
		ServiceAccount: boundTo{r.name, string(account.Unstructured().GetUID())}}}
	if err := s.bind(r, req.Spec.BoundObjectRef, &c.Kubernetes); err != nil {
		return err
	}
	now := time.Now()
	expiry := now.Add(time.Duration(seconds) * time.Second)
	c.Claims = jwt.Claims{
		Issuer: issuer, Subject: "system:serviceaccount:" + r.namespace + ":" + r.name, Audience: req.Spec.Audiences,
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(expiry), ID: string(uuid.NewUUID()),
	}
	if req.Status.Token, err = s.sign(c); err != nil {
		return err
	}
	req.Status.ExpirationTimestamp = metav1.NewTime(expiry.Truncate(time.Second))
	req.Spec.ExpirationSeconds = &seconds
	req.Name, req.Namespace, req.CreationTimestamp = r.name, r.namespace, metav1.NewTime(now.Truncate(time.Second))
	return s.writeTyped(w, r, http.StatusCreated, authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"), req)
}

// bind ties a token to the life of a pod or secret.
func (s *Server) bind(r *request, ref *authenticationv1.BoundObjectReference, c *kubernetesClaims) error {
	if ref == nil {
		return nil
	}
	gr := schema.GroupResource{Resource: map[string]string{"Pod": "pods", "Secret": "secrets"}[ref.Kind]}
	if gr.Resource == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s, %s", ref.APIVersion, ref.Kind))
	}
	o, ok := s.store.Get(store.Key{Resource: gr, Namespace: r.namespace, Name: ref.Name})
	if !ok {
		return apierrors.NewNotFound(gr, ref.Name)
	}
	uid := o.Unstructured().GetUID()
	if ref.UID != "" && ref.UID != uid {
		return apierrors.NewConflict(gr, ref.Name, fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	bound := &boundTo{ref.Name, string(uid)}
	if ref.Kind == "Pod" {
		c.Pod = bound
	} else {
		c.Secret = bound
	}
	return nil
}

func (s *Server) sign(c claims) (string, error) {
	key := jose.JSONWebKey{Key: s.keys.signing, KeyID: s.keys.keyID(), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return jwt.Signed(signer).Claims(c).Serialize()
}

func (k *keys) keyID() string {
	sum := sha256.Sum256(k.ca.Raw)
	return hex.EncodeToString(sum[:8])
}

// verifyToken says whose token it is and for which of the asked audiences it is good.
func (s *Server) verifyToken(token string, audiences []string) (authenticationv1.UserInfo, []string, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return authenticationv1.UserInfo{}, nil, fmt.Errorf("parse token: %w", err)
	}
	var c claims
	if err := parsed.Claims(s.keys.signing.Public(), &c); err != nil {
		return authenticationv1.UserInfo{}, nil, fmt.Errorf("verify token: %w", err)
	}
	if err := c.ValidateWithLeeway(jwt.Expected{Issuer: issuer, Time: time.Now()}, 0); err != nil {
		return authenticationv1.UserInfo{}, nil, fmt.Errorf("verify token: %w", err)
	}
	good := slices.DeleteFunc(slices.Clone(audiences), func(a string) bool { return !slices.Contains([]string(c.Audience), a) })
	if len(good) == 0 {
		return authenticationv1.UserInfo{}, nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", c.Audience, audiences)
	}
	if err := s.stillBound(c.Kubernetes); err != nil {
		return authenticationv1.UserInfo{}, nil, err
	}
	return userOf(c), good, nil
}

// stillBound checks that what the token is tied to exists as it was.
func (s *Server) stillBound(c kubernetesClaims) error {
	check := func(resource string, to *boundTo) error {
		if to == nil {
			return nil
		}
		o, ok := s.store.Get(store.Key{Resource: schema.GroupResource{Resource: resource}, Namespace: c.Namespace, Name: to.Name})
		if !ok || string(o.Unstructured().GetUID()) != to.UID {
			return fmt.Errorf("token is bound to %s %s/%s, which is gone", resource, c.Namespace, to.Name)
		}
		return nil
	}
	return errors.Join(check("serviceaccounts", &c.ServiceAccount), check("pods", c.Pod), check("secrets", c.Secret))
}

func userOf(c claims) authenticationv1.UserInfo {
	k := c.Kubernetes
	user := authenticationv1.UserInfo{
		Username: c.Subject, UID: k.ServiceAccount.UID,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + k.Namespace, "system:authenticated"},
		Extra:  map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/credential-id": {"JTI=" + c.ID}},
	}
	if k.Pod != nil {
		user.Extra["authentication.kubernetes.io/pod-name"] = authenticationv1.ExtraValue{k.Pod.Name}
		user.Extra["authentication.kubernetes.io/pod-uid"] = authenticationv1.ExtraValue{k.Pod.UID}
	}
	return user
}

// serveIssuer publishes the key that verifies tokens.
func (s *Server) serveIssuer(w http.ResponseWriter, path string) error {
	if path == "/openid/v1/jwks" {
		key := jose.JSONWebKey{Key: s.keys.signing.Public(), KeyID: s.keys.keyID(), Algorithm: string(jose.ES256), Use: "sig"}
		writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
		return nil
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": issuer, "jwks_uri": "https://" + s.Address() + "/openid/v1/jwks",
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
	})
	return nil
}
