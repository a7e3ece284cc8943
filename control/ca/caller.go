package ca

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/model"
)

// ErrNoCredential says that a caller showed nothing that would identify it.
var ErrNoCredential = errors.New("the caller shows neither a client certificate nor a bearer token")

// tokenAudience is the audience that service-account tokens must be for.
const tokenAudience = "istio-ca"

// tokenCache is how long a reviewed token is believed without asking again.
const tokenCache = 30 * time.Second

// Callers finds out who calls: by the client certificate of the connection, or
// else by a Kubernetes service-account token.
type Callers struct {
	client      kubernetes.Interface
	trustDomain string

	mu       sync.Mutex
	reviewed map[[sha256.Size]byte]review // guarded by mu; by the token's hash
}

type review struct {
	identity model.Identity
	until    time.Time
}

// NewCallers reviews tokens with client. Identities by token are of trustDomain.
func NewCallers(client kubernetes.Interface, trustDomain string) *Callers {
	return &Callers{client: client, trustDomain: trustDomain, reviewed: map[[sha256.Size]byte]review{}}
}

// Identify says who makes the gRPC call of ctx. The error is
// [ErrNoCredential] when the caller does not say.
func (c *Callers) Identify(ctx context.Context) (model.Identity, error) {
	if id, ok, err := byCertificate(ctx); ok || err != nil {
		return id, err
	}
	token, err := bearer(ctx)
	if err != nil {
		return model.Identity{}, err
	}
	return c.byToken(ctx, token)
}

// Encrypted reports whether the call of ctx came over TLS.
func Encrypted(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	_, ok = p.AuthInfo.(credentials.TLSInfo)
	return ok
}

func byCertificate(ctx context.Context) (model.Identity, bool, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return model.Identity{}, false, nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return model.Identity{}, false, nil
	}
	leaf := info.State.VerifiedChains[0][0]
	if len(leaf.URIs) != 1 {
		return model.Identity{}, false, fmt.Errorf("the client certificate has %d URI names, want one", len(leaf.URIs))
	}
	id, err := model.ParseIdentity(leaf.URIs[0].String())
	return id, err == nil, err
}

func bearer(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		if token, ok := strings.CutPrefix(v, "Bearer "); ok && token != "" {
			return token, nil
		}
	}
	return "", ErrNoCredential
}

// byToken asks the API server whose token it is.
func (c *Callers) byToken(ctx context.Context, token string) (model.Identity, error) {
	now, key := time.Now(), sha256.Sum256([]byte(token))
	if id, ok := c.remembered(key, now); ok {
		return id, nil
	}
	r, err := c.client.AuthenticationV1().TokenReviews().Create(ctx, &authv1.TokenReview{
		Spec: authv1.TokenReviewSpec{Token: token, Audiences: []string{tokenAudience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return model.Identity{}, fmt.Errorf("review the caller's token: %w", err)
	}
	if !r.Status.Authenticated {
		return model.Identity{}, fmt.Errorf("the caller's token is not accepted for audience %s: %s", tokenAudience, r.Status.Error)
	}
	parts := strings.Split(r.Status.User.Username, ":")
	if len(parts) != 4 || parts[0] != "system" || parts[1] != "serviceaccount" {
		return model.Identity{}, fmt.Errorf("the caller's token is of %q, which is no service account", r.Status.User.Username)
	}
	id := model.Identity{TrustDomain: c.trustDomain, Namespace: parts[2], ServiceAccount: parts[3]}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reviewed[key] = review{id, now.Add(tokenCache)}
	return id, nil
}

// remembered looks a token up, and forgets what is too old.
func (c *Callers) remembered(key [sha256.Size]byte, now time.Time) (model.Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, r := range c.reviewed {
		if now.After(r.until) {
			delete(c.reviewed, k)
		}
	}
	r, ok := c.reviewed[key]
	return r.identity, ok
}
