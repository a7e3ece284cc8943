package ca

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The Secrets that hold signing keys, under Istio's names and keys.
const (
	PluggedInSecret  = "cacerts"         // given by the user
	SelfSignedSecret = "istio-ca-secret" // made by us

	keyCert     = "ca-cert.pem"
	keyKey      = "ca-key.pem"
	keyRoots    = "root-cert.pem"
	keyChain    = "cert-chain.pem"
	keyNext     = "next-ca-cert.pem"
	keyNextKey  = "next-ca-key.pem"
	secretType  = corev1.SecretType("istio.io/ca-root")
	checkPeriod = time.Minute
)

// Keeper holds the authority that signs now. Its key lives in a Secret, so
// that replicas agree and a restart changes nothing.
type Keeper struct {
	client       kubernetes.Interface
	namespace    string
	organization string
	log          *slog.Logger

	now atomic.Pointer[Authority]

	mu      sync.Mutex
	watched []chan struct{} // guarded by mu
	serving *tls.Certificate
	until   time.Time // when serving is to be renewed
	by      *Authority
}

// NewKeeper keeps the authority in Secrets of namespace. organization is the
// subject of a root that it makes: the trust domain.
func NewKeeper(client kubernetes.Interface, namespace, organization string, log *slog.Logger) *Keeper {
	return &Keeper{client: client, namespace: namespace, organization: organization, log: log}
}

// Load reads the key, or makes one: a plugged-in one is preferred. It must
// succeed once before anything else is called.
func (k *Keeper) Load(ctx context.Context) error {
	a, err := k.load(ctx)
	if err != nil {
		return fmt.Errorf("load the certificate authority: %w", err)
	}
	if old := k.now.Load(); old == nil || !bytes.Equal(old.Roots(), a.Roots()) || !old.chain[0].Equal(a.chain[0]) {
		k.now.Store(a)
		k.announce()
	}
	return nil
}

func (k *Keeper) load(ctx context.Context) (*Authority, error) {
	s, err := k.client.CoreV1().Secrets(k.namespace).Get(ctx, PluggedInSecret, metav1.GetOptions{})
	switch {
	case err == nil:
		return plugged(s.Data)
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("get secret %s/%s: %w", k.namespace, PluggedInSecret, err)
	}
	state, err := k.selfSigned(ctx)
	if err != nil {
		return nil, err
	}
	return NewAuthority(state.Cert, state.Key, nil, state.trusted())
}

// plugged reads a key that the user has given, in Istio's form or as a
// kubernetes.io/tls Secret.
func plugged(data map[string][]byte) (*Authority, error) {
	cert, key, chain, roots := data[keyCert], data[keyKey], data[keyChain], data[keyRoots]
	if len(cert) == 0 && len(data[corev1.TLSCertKey]) > 0 {
		cert, key, chain, roots = data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], nil, data["ca.crt"]
	}
	a, err := NewAuthority(cert, key, chain, roots)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", PluggedInSecret, err)
	}
	return a, nil
}

// selfSigned reads our own root, makes it if there is none, and rotates it
// when it is due. Of two replicas that write at once the first wins and the
// other takes what it finds.
func (k *Keeper) selfSigned(ctx context.Context) (State, error) {
	secrets := k.client.CoreV1().Secrets(k.namespace)
	for {
		s, err := secrets.Get(ctx, SelfSignedSecret, metav1.GetOptions{})
		missing := apierrors.IsNotFound(err)
		if err != nil && !missing {
			return State{}, fmt.Errorf("get secret %s/%s: %w", k.namespace, SelfSignedSecret, err)
		}
		if missing {
			s = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SelfSignedSecret, Namespace: k.namespace}, Type: secretType}
		}
		state := State{Cert: s.Data[keyCert], Key: s.Data[keyKey], Roots: s.Data[keyRoots], Next: s.Data[keyNext], NextKey: s.Data[keyNextKey]}
		next, changed, err := Rotate(state, k.organization, time.Now())
		if err != nil || !changed {
			return state, err
		}
		s.Data = next.data()
		if missing {
			_, err = secrets.Create(ctx, s, metav1.CreateOptions{})
		} else {
			_, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
		}
		switch {
		case err == nil:
			k.log.Info("root certificate written", "secret", SelfSignedSecret, "roots", bytes.Count(next.Roots, []byte("BEGIN")))
			return next, nil
		case !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err):
			return State{}, fmt.Errorf("write secret %s/%s: %w", k.namespace, SelfSignedSecret, err)
		}
	}
}

func (s State) data() map[string][]byte {
	d := map[string][]byte{keyCert: s.Cert, keyKey: s.Key, keyRoots: s.Roots}
	if len(s.Next) > 0 {
		d[keyNext], d[keyNextKey] = s.Next, s.NextKey
	}
	return d
}

// Run looks for a new key, and rotates ours, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(checkPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := k.Load(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("certificate authority not reloaded: the key from before signs on", "error", err)
		}
	}
}

// Authority is the one that signs now.
func (k *Keeper) Authority() *Authority { return k.now.Load() }

// Changed gives a channel that gets a value when the authority has changed.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := make(chan struct{}, 1)
	k.watched = append(k.watched, c)
	return c
}

func (k *Keeper) announce() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.watched {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
