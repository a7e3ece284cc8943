package ca

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"
	securityapi "istio.io/api/security/v1alpha1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/lateenmesh/lateen/model"
)

var quiet = slog.New(slog.DiscardHandler)

func keeper(t *testing.T, c *fake.Clientset) *Keeper {
	t.Helper()
	k := NewKeeper(c, "istio-system", "cluster.local", quiet)
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// Replicas agree on one root, and a restart keeps it.
func TestReplicasAgree(t *testing.T) {
	c := fake.NewClientset()
	a, b := keeper(t, c), keeper(t, c)
	if !bytes.Equal(a.Authority().Roots(), b.Authority().Roots()) {
		t.Error("two replicas have two roots")
	}
	s, err := c.CoreV1().Secrets("istio-system").Get(t.Context(), "istio-ca-secret", metav1.GetOptions{})
	if err != nil || len(s.Data["ca-cert.pem"]) == 0 || len(s.Data["ca-key.pem"]) == 0 {
		t.Errorf("secret istio-ca-secret: %v, %v", s, err)
	}
}

// A replica that loses the race to create the Secret takes the winner's root.
func TestLostRace(t *testing.T) {
	c := fake.NewClientset()
	cert, key, _ := SelfSigned("winner", rootLife, time.Now())
	c.PrependReactor("create", "secrets", func(ktesting.Action) (bool, runtime.Object, error) {
		_ = c.Tracker().Add(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: SelfSignedSecret, Namespace: "istio-system"},
			Data:       map[string][]byte{keyCert: cert, keyKey: key},
		})
		return false, nil, nil
	})
	if got := keeper(t, c).Authority().Roots(); string(got) != string(cert) {
		t.Error("the loser keeps its own root")
	}
}

// A plugged-in key is preferred, and taken up while running.
func TestPluggedInLater(t *testing.T) {
	c := fake.NewClientset()
	k := keeper(t, c)
	changed := k.Changed()
	cert, key, _ := SelfSigned("theirs", rootLife, time.Now())
	_, err := c.CoreV1().Secrets("istio-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "cacerts"}, Data: map[string][]byte{keyCert: cert, keyKey: key, keyRoots: cert},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-changed; string(k.Authority().Roots()) != string(cert) {
		t.Error("the plugged-in root is not used")
	}
}

// reviewer is a client that knows one token.
func reviewer(reviews *int) *fake.Clientset {
	c := fake.NewClientset()
	c.PrependReactor("create", "tokenreviews", func(a ktesting.Action) (bool, runtime.Object, error) {
		*reviews++
		r := a.(ktesting.CreateAction).GetObject().(*authv1.TokenReview).DeepCopy()
		r.Status = authv1.TokenReviewStatus{Error: "unknown token"}
		if r.Spec.Token == "good" && r.Spec.Audiences[0] == "istio-ca" {
			r.Status = authv1.TokenReviewStatus{Authenticated: true, User: authv1.UserInfo{Username: "system:serviceaccount:shop:cart"}}
		}
		return true, r, nil
	})
	return c
}

// A token is reviewed once in a while, not with every call.
func TestTokenReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reviews := 0
		c := NewCallers(reviewer(&reviews), "cluster.local")
		call := func(token string) (model.Identity, error) {
			return c.Identify(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token)))
		}
		for range 3 {
			if id, err := call("good"); err != nil || id != cart {
				t.Fatalf("got %v, %v; want %v", id, err, cart)
			}
		}
		if reviews != 1 {
			t.Errorf("%d reviews, want 1", reviews)
		}
		time.Sleep(tokenCache + time.Second)
		if _, err := call("good"); err != nil || reviews != 2 {
			t.Errorf("%v after %d reviews, want a second one", err, reviews)
		}
		if id, err := call("bad"); err == nil {
			t.Errorf("a bad token is %v", id)
		}
		if _, err := c.Identify(t.Context()); !errors.Is(err, ErrNoCredential) {
			t.Errorf("no credential: got %v", err)
		}
	})
}

// The whole API over TLS: a first certificate by token, the next one by the
// first; nobody gets anything without.
func TestCreateCertificate(t *testing.T) {
	reviews := 0
	c := reviewer(&reviews)
	k := keeper(t, c)
	service := NewService(k.Authority, NewCallers(c, "cluster.local").Identify, quiet)
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(k.ServerTLS([]string{"istiod.istio-system.svc"}))))
	securityapi.RegisterIstioCertificateServiceServer(g, service)
	listener := bufconn.Listen(1 << 20)
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(listener) })
	defer serving.Wait()
	defer g.Stop()

	key, keyPEM, _ := newKey()
	ask := func(token string, certs []tls.Certificate, r *securityapi.IstioCertificateRequest) ([]string, error) {
		t.Helper()
		conn, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: k.Authority().Pool(), ServerName: "istiod.istio-system.svc", Certificates: certs,
		})), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r.Csr = string(csr(t, key))
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		resp, err := securityapi.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, r)
		return resp.GetCertChain(), err
	}
	chain, err := ask("good", nil, &securityapi.IstioCertificateRequest{ValidityDuration: 3600})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(strings.Join(chain, "")), keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if chain, err = ask("", []tls.Certificate{pair}, &securityapi.IstioCertificateRequest{}); err != nil {
		t.Fatalf("by client certificate: %v", err)
	}
	if got := leafOf(t, chain).URIs[0].String(); got != cart.String() {
		t.Errorf("renewed for %s, want %s", got, cart)
	}
	if _, err := ask("bad", nil, &securityapi.IstioCertificateRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stranger gets %v, want Unauthenticated", err)
	}
	meta, _ := structpb.NewStruct(map[string]any{"ImpersonatedIdentity": "spiffe://cluster.local/ns/x/sa/y"})
	if _, err := ask("good", nil, &securityapi.IstioCertificateRequest{Metadata: meta}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("impersonation gets %v, want InvalidArgument", err)
	}
	var text strings.Builder
	service.WriteMetrics(&text)
	if !strings.Contains(text.String(), "citadel_server_success_cert_issuance_count 2\n") {
		t.Errorf("metrics do not count two certificates:\n%s", text.String())
	}
}

// The root is in every namespace, also in new ones and after vandalism.
func TestPublish(t *testing.T) {
	namespace := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	c := fake.NewClientset(namespace("default"), namespace("kube-system"))
	k := keeper(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	written, err := c.CoreV1().ConfigMaps("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = NewPublisher(c, k, quiet).Run(ctx) })
	defer running.Wait()
	defer cancel()
	expect := func(ns string) {
		t.Helper()
		cm := (<-written.ResultChan()).Object.(*corev1.ConfigMap)
		if cm.Namespace != ns || cm.Name != "istio-ca-root-cert" || cm.Data["root-cert.pem"] != string(k.Authority().Roots()) {
			t.Fatalf("written %s/%s with %d bytes, want the root in %s", cm.Namespace, cm.Name, len(cm.Data["root-cert.pem"]), ns)
		}
	}
	expect("default")
	if _, err := c.CoreV1().Namespaces().Create(ctx, namespace("shop"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("shop")
	if err := c.CoreV1().ConfigMaps("shop").Delete(ctx, RootConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	<-written.ResultChan() // the deletion
	expect("shop")
}
